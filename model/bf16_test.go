package model_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// bf16Cases are the models that testdata/generate_bf16.py ran in BF16. Rounding could
// change the choice of experts when two scores are nearly equal; in these models it does
// not.
var bf16Cases = []string{"qwen3", "deepseek_v3_groups_yarn"}

// In BF16, the errors of logits and gradients against float64 are no larger than those of
// transformers in BF16, and the two results are as close to each other as such errors
// allow. Both round every activation to 8 bits but sum in different orders. The float64
// values are this library's, which agree with transformers' to 1e-9.
func TestBF16IsAsNearToFloat64AsTransformersInBF16(t *testing.T) {
	for _, name := range bf16Cases {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, filepath.Join("testdata", "golden", name))
			b := newBackend(t)
			exact, ours := g.mainLoss(t, b, model.Options{DType: backend.F64}), g.mainLoss(t, b,
				model.Options{Precision: backend.BF16})
			theirs := readBF16(t, g.dir)
			for _, part := range []string{"logits", "grad."} {
				var error, reference, between, size float64
				for key, x := range theirs {
					if !strings.HasPrefix(key, part) {
						continue
					}
					error = math.Hypot(error, distance(ours[key], exact[key]))
					reference = math.Hypot(reference, distance(x, exact[key]))
					between = math.Hypot(between, distance(x, ours[key]))
					size = math.Hypot(size, norm(exact[key]))
				}
				t.Logf("%s: error %.3g, transformers' %.3g, between them %.3g", part, error/size, reference/size, between/size)
				if !(error > 0 && error <= 1.25*reference && between <= 1.25*math.Sqrt2*reference) {
					t.Errorf("%s: relative error %.3g, transformers' %.3g, difference between them %.3g", part, error/size,
						reference/size, between/size)
				}
			}
		})
	}
}

// mainLoss returns the logits of the case's batch and the gradients of its main loss, under
// the names that the files use.
func (g golden) mainLoss(t *testing.T, b backend.Backend, o model.Options) map[string][]float64 {
	t.Helper()
	m, _ := g.load(t, b, o)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	batch := m.NewBatch(s, g.sequences, model.Totals(g.sequences))
	out := m.Forward(s, batch)
	if dt := out.Hidden.DType(); dt != m.ActivationDType() {
		t.Fatalf("the hidden states are %s", dt)
	}
	logits, err := tensor.Logits(out.Hidden, m.Head).Values()
	must(t, err)
	must(t, s.Backward(tensor.Neg(tensor.Sum(tensor.Mul(batch.Weight, out.LogProbs(batch.Targets))))))
	all := map[string][]float64{"logits": logits}
	for name, grad := range gradients(t, m) {
		for i := 0; i < len(grad); i += goldenStride(len(grad)) {
			all["grad."+name] = append(all["grad."+name], grad[i])
		}
	}
	return all
}

// readBF16 reads what transformers computed in BF16.
func readBF16(t *testing.T, dir string) map[string][]float64 {
	t.Helper()
	r, err := checkpoint.Open(filepath.Join(dir, "bf16.safetensors"))
	must(t, err)
	defer r.Close()
	all := map[string][]float64{}
	for _, info := range r.Tensors() {
		raw, err := r.Read(info.Name)
		must(t, err)
		for i := range len(raw) / 4 {
			all[info.Name] = append(all[info.Name], backend.F32.Get(raw, i))
		}
	}
	return all
}

// A BF16 cache is exact only for a model trained with RoundKV: otherwise its
// log-probabilities differ from training's.
func TestARoundedCacheDiffersFromTrainingWithoutRoundKV(t *testing.T) {
	b := open(t)
	reqs := randomRequests(5, 6)
	for _, c := range []struct {
		o      model.Options
		g      model.GeneratorOptions
		differ bool
	}{
		{model.Options{}, model.GeneratorOptions{Slots: 3, Cache: backend.BF16}, true},
		{model.Options{RoundKV: true}, model.GeneratorOptions{Slots: 3}, false},
		{model.Options{Precision: backend.BF16}, model.GeneratorOptions{Slots: 3, Cache: backend.BF16}, false},
	} {
		m, _ := newSmall(t, b, c.o)
		var worst float64
		for i, out := range complete(t, m, c.g, reqs) {
			ids := append(append([]int32{}, reqs[i].Prompt...), out.Tokens...)
			s := tensor.NewScope(b, tensor.Options{})
			seqs := []model.Sequence{{IDs: ids}}
			batch := m.NewBatch(s, seqs, model.Totals(seqs))
			temperature := reqs[i].Sampling.Temperature
			if temperature == 0 {
				temperature = 1
			}
			lp, _ := m.Forward(s, batch).Score(batch.Targets, temperature)
			got, err := lp.Values()
			must(t, err)
			for k, v := range out.LogProbs {
				if reqs[i].Sampling.TopK == 0 && reqs[i].Sampling.TopP == 0 {
					worst = max(worst, math.Abs(v-got[len(reqs[i].Prompt)-1+k]))
				}
			}
			s.Close()
		}
		if (worst > 0) != c.differ {
			t.Errorf("%+v, %+v: log-probabilities differ by up to %g", c.o, c.g, worst)
		}
	}
}

// distance is ‖x−y‖.
func distance(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += (v - y[i]) * (v - y[i])
	}
	return math.Sqrt(sum)
}

func newBackend(t *testing.T) *cpu.CPU {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}
