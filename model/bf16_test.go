package model_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// bf16Cases are the models that testdata/generate_bf16.py ran in BF16. Rounding may
// turn a choice of experts that is nearly even; in these it does not.
var bf16Cases = []string{"qwen3", "deepseek_v3_groups_yarn"}

// In BF16 the logits are as near to the float64 ones as those of transformers in
// BF16, and as near to these as two computations with such errors are. Both round
// each activation to 8 bits; where they differ is the order of sums.
func TestBF16IsAsNearToFloat64AsTransformersInBF16(t *testing.T) {
	for _, name := range bf16Cases {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, filepath.Join("testdata", "golden", name))
			r, err := checkpoint.Open(filepath.Join(g.dir, "bf16.safetensors"))
			must(t, err)
			defer r.Close()
			raw, err := r.Read("logits")
			must(t, err)
			theirs := make([]float64, len(raw)/4)
			for i := range theirs {
				theirs[i] = backend.F32.Get(raw, i)
			}
			b := newBackend(t)
			m, _ := g.load(t, b, model.Options{Precision: backend.BF16})
			s := tensor.NewScope(b, tensor.Options{})
			defer s.Close()
			out := m.Forward(s, m.NewBatch(s, g.sequences, model.Totals(g.sequences)))
			if out.Hidden.DType() != backend.BF16 {
				t.Fatalf("the hidden states are %s", out.Hidden.DType())
			}
			ours, err := tensor.Logits(out.Hidden, m.Head).Values()
			must(t, err)
			want := g.values["logits"]
			error, reference, between := rmsDiff(ours, want), rmsDiff(theirs, want), rmsDiff(ours, theirs)
			t.Logf("rms of the error %.3g, of transformers' %.3g, between them %.3g", error, reference, between)
			if error > 1.25*reference || between > 1.25*math.Sqrt2*reference || error == 0 {
				t.Errorf("rms of the error %.3g, of transformers' %.3g, between them %.3g", error, reference, between)
			}
		})
	}
}

func rmsDiff(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += (v - y[i]) * (v - y[i])
	}
	return math.Sqrt(sum / float64(len(x)))
}

func newBackend(t *testing.T) *cpu.CPU {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}
