package lab

import (
	"context"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// memoryOnly is a backend that has memory but supports no op.
type memoryOnly struct{}

type hostMemory struct{ mem []byte }

func (m *hostMemory) Bytes() int { return len(m.mem) }

func (memoryOnly) Name() string { return "memory only" }
func (memoryOnly) Alloc(bytes int) (backend.Buffer, error) {
	return &hostMemory{make([]byte, bytes)}, nil
}
func (memoryOnly) Free(backend.Buffer)        {}
func (memoryOnly) Sync() error                { return nil }
func (memoryOnly) MemInfo() (total, free int) { return 1 << 40, 1 << 40 }
func (memoryOnly) Close() error               { return nil }
func (m memoryOnly) Do(op backend.Op) error   { return backend.Unsupported(m, op, "") }
func (memoryOnly) Upload(b backend.Buffer, off int, src []byte) error {
	copy(b.(*hostMemory).mem[off:], src)
	return nil
}

func (memoryOnly) Download(dst []byte, b backend.Buffer, off int) error {
	copy(dst, b.(*hostMemory).mem[off:])
	return nil
}

// The model of r1zero generates and trains in BF16 on a backend that supports no op and
// falls back to the CPU. The bits are those of the CPU.
func TestABackendWithMemoryAloneRunsTheModelInBF16(t *testing.T) {
	var tokens [][]int32
	var grads [][]float64
	for _, fallback := range []bool{false, true} {
		host, err := cpu.New(cpu.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer host.Close()
		var b backend.Backend = host
		if fallback {
			b = backend.Fallback(memoryOnly{}, host)
		}
		m, err := model.NewWith(b, Teacher(), 3, model.Options{Precision: backend.BF16})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Free()
		gen, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2, MaxLen: 16})
		if err != nil {
			t.Fatal(err)
		}
		defer gen.Close()
		out, err := gen.Generate(context.Background(), []model.Request{{
			Prompt: []int32{3, 1, 4}, MaxTokens: 4, Sampling: model.Sampling{Temperature: 1}, Seed: 9, Stop: []int32{},
		}})
		if err != nil {
			t.Fatal(err)
		}
		s := tensor.NewScope(b, tensor.Options{Grad: true})
		defer s.Close()
		seqs := []model.Sequence{{IDs: append([]int32{3, 1, 4}, out[0].Tokens...)}}
		batch := m.NewBatch(s, seqs, model.Totals(seqs))
		lp := m.Forward(s, batch).LogProbs(batch.Targets)
		if err := s.Backward(tensor.Neg(tensor.Sum(tensor.Mul(batch.Weight, lp)))); err != nil {
			t.Fatal(err)
		}
		g, err := m.Embed.Grad()
		if err != nil {
			t.Fatal(err)
		}
		grad, err := backend.Values(b, g)
		if err != nil {
			t.Fatal(err)
		}
		tokens, grads = append(tokens, out[0].Tokens), append(grads, grad)
	}
	if !slices.Equal(tokens[0], tokens[1]) || !slices.Equal(grads[0], grads[1]) {
		t.Errorf("tokens %v and %v, gradients equal: %t", tokens[0], tokens[1], slices.Equal(grads[0], grads[1]))
	}
}
