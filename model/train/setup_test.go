package train

import (
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/mtp"
)

// small is a config with a dense layer, an MoE layer and an MTP module.
func small() model.Config {
	c := model.Tiny(32)
	c.HiddenSize, c.IntermediateSize, c.MoEIntermediateSize = 32, 48, 16
	c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads = 2, 2, 2
	c.QLoRARank, c.KVLoRARank, c.QKNopeHeadDim, c.QKRopeHeadDim, c.VHeadDim = 16, 16, 8, 4, 8
	return c
}

func newModel(t testing.TB, dt backend.DType) *model.Model {
	t.Helper()
	m, err := model.NewWith(newCPU(t), small(), 7, model.Options{DType: dt})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newCPU opens a CPU backend for the test.
func newCPU(t testing.TB) *cpu.CPU {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func newMTP(t testing.TB, m *model.Model) *mtp.MTP {
	t.Helper()
	d, err := mtp.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// randomText returns n sequences of different lengths per step, with some of the targets
// weighted or masked.
func randomText(n int) DataFunc {
	return func(step int) ([]model.Sequence, error) {
		r := rand.New(rand.NewPCG(11, uint64(step)))
		seqs := make([]model.Sequence, n)
		for i := range seqs {
			q := model.Sequence{IDs: make([]int32, 5+r.IntN(9))}
			for j := range q.IDs {
				q.IDs[j] = r.Int32N(32)
			}
			if i%2 == 1 {
				q.Weight = make([]float32, q.Rows())
				for j := range q.Weight {
					q.Weight[j] = float32(r.IntN(3)) / 2
				}
				q.Weight[0] = 1
			}
			seqs[i] = q
		}
		return seqs, nil
	}
}

func mustBatch(t testing.TB, d Data, step int) []model.Sequence {
	t.Helper()
	seqs, err := d.Batch(step)
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}

func mustStep(t testing.TB, tr *Trainer, d Data) Metrics {
	t.Helper()
	m, err := tr.Step(t.Context(), mustBatch(t, d, tr.StepCount()))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustFloats(t testing.TB, p *tensor.Param) []float64 {
	t.Helper()
	x, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func mustSet(t testing.TB, p *tensor.Param, x []float64) {
	t.Helper()
	if err := p.SetFloats(x); err != nil {
		t.Fatal(err)
	}
}

// setGrad sets p's gradient.
func setGrad(t testing.TB, p *tensor.Param, x []float64) {
	t.Helper()
	g, err := p.Grad()
	if err != nil {
		t.Fatal(err)
	}
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	s.Do(&backend.Copy{Dst: g, Src: s.Floats(g.DType, x, p.Shape()...).View()})
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

// sum returns the checksum of everything that a trainer updates.
func sum(t testing.TB, tr *Trainer) string {
	t.Helper()
	all := append(append([]*tensor.Param{}, tr.params...), tr.moments.Params()...)
	h, err := WeightsSHA256(append(all, tr.EMA()...))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
