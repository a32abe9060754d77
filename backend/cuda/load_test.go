package cuda_test

import (
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// A model folder in FP8 can be loaded in every format, as by examples/generate.
// In F32, greedy decoding gives the same ids as on the CPU.
func TestFP8FolderLoadsInEveryFormat(t *testing.T) {
	emulated(t)
	host := backendtest.Open(t, "cpu")
	m, source, err := model.Load(host, "../../model/testdata/golden/deepseek_v3_mtp", model.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	dir := t.TempDir()
	if err := model.Save(dir, m, model.SaveOptions{DType: checkpoint.F8E4M3, Source: source}); err != nil {
		t.Fatal(err)
	}
	device := backendtest.Open(t, "cuda:0")
	for _, f := range backend.Formats() {
		ids := map[backend.Backend][]int32{}
		for _, b := range []backend.Backend{host, device} {
			m, _, err := model.Load(b, dir, model.LoadOptions{Options: model.Options{Format: f, Tables: f, Packed: true}})
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			defer m.Free()
			g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1, MaxLen: 8})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			out, err := g.Generate(t.Context(), []model.Request{
				{Prompt: []int32{1, 2}, MaxTokens: 5, Stop: []int32{}, Sampling: model.Sampling{Greedy: true}},
			})
			if err != nil {
				t.Fatalf("%s on %s: %v", f, b.Name(), err)
			}
			ids[b] = out[0].Tokens
		}
		if exact := f == backend.Native; len(ids[device]) != 5 || exact && !slices.Equal(ids[host], ids[device]) {
			t.Errorf("%s: %v on %s, %v on %s", f, ids[host], host.Name(), ids[device], device.Name())
		}
	}
}
