package attention_test

import (
	"fmt"
	"log"
	"slices"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

// Prefill a prompt of three tokens into a cache, decode the fourth token, and compare it
// with a forward over all four.
func ExampleContinue() {
	b, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	ps := tensor.NewParams(b, tensor.Init{Seed: 1, Std: 0.3})
	defer ps.Free()
	const d, maxLen = 8, 16
	angles, err := attention.NewAngles(b, backend.F32, maxLen, 4, 1e4, attention.RoPEScaling{})
	if err != nil {
		log.Fatal(err)
	}
	defer angles.Cos.Free()
	defer angles.Sin.Free()
	cfg := attention.GQAConfig{Hidden: d, Heads: 2, KVHeads: 1, HeadDim: 4}
	layer := attention.NewGQA(ps, "self_attn", cfg, angles)
	if err := ps.Err(); err != nil {
		log.Fatal(err)
	}
	cache, err := layer.NewCache(b, backend.F32, 2*maxLen) // two slots
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Free()

	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	data := make([]float32, 4*d)
	for i := range data {
		data[i] = float32(i%5) - 2
	}
	x := s.Float32s(data, 4, d)
	layer.Forward(x.Slice(0, 0, 3), attention.Continue(s, maxLen, attention.Span{Slot: 1, N: 3}), cache)
	last := layer.Forward(x.Slice(0, 3, 4), attention.Continue(s, maxLen, attention.Span{Slot: 1, From: 3, N: 1}), cache)
	all := layer.Forward(x, attention.Pack(s, []int{4}), nil)

	got, err := last.Values()
	if err != nil {
		log.Fatal(err)
	}
	want, err := all.Slice(0, 3, 4).Values()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same bits:", slices.Equal(got, want))
	// Output:
	// the same bits: true
}
