package moe_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

func TestGateEqualsItsDefinition(t *testing.T) {
	b := open(t)
	const tokens = 300
	for name := range variants {
		t.Run(name, func(t *testing.T) {
			cfg := variant(name)
			m := newMoE(t, b, backend.F64, cfg)
			var bias []float64
			if m.Gate.Bias != nil {
				bias = floats(t, m.Gate.Bias)
			}
			const seed = 2
			t.Log("seed", seed)
			x := normals(rand.New(rand.NewPCG(seed, 0)), 1, tokens*cfg.Hidden)
			s := tensor.NewScope(b, tensor.Options{})
			defer s.Close()
			weight, scores, index := m.Gate.Forward(s.Floats(backend.F64, x, tokens, cfg.Hidden))
			gotIndex, gotWeight := values(t, index), values(t, weight)
			var wantWeight, wantScores []float64
			turned := false // whether the bias changes a selection
			for i := range tokens {
				row := x[i*cfg.Hidden : (i+1)*cfg.Hidden]
				chosen, scores := referenceGate(cfg, floats(t, m.Gate.W.W), bias, row)
				wantScores = append(wantScores, scores...)
				for k, a := range chosen {
					if got := int(gotIndex[i*cfg.TopK+k]); got != a.expert {
						t.Fatalf("token %d: experts %v, want %v", i, gotIndex[i*cfg.TopK:(i+1)*cfg.TopK], chosen)
					}
					wantWeight = append(wantWeight, a.weight)
				}
				plain, _ := referenceGate(cfg, floats(t, m.Gate.W.W), nil, row)
				turned = turned || !slices.EqualFunc(plain, chosen, func(a, b assignment) bool { return a.expert == b.expert })
			}
			closeTo(t, "weights", gotWeight, wantWeight, 1e-14)
			closeTo(t, "scores", values(t, scores), wantScores, 1e-14)
			if cfg.Bias && !turned {
				t.Error("the bias in this test changes no selection")
			}
		})
	}
}

func TestTiesGoToTheLowestExperts(t *testing.T) {
	b := open(t)
	cfg := variant("V3")
	m := newMoE(t, b, backend.F32, cfg)
	must(t, m.Gate.W.W.SetFloats(make([]float64, cfg.Experts*cfg.Hidden)))
	must(t, m.Gate.Bias.SetFloats(make([]float64, cfg.Experts)))
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	weight, _, index := m.Gate.Forward(s.Full(backend.F32, 1, 1, cfg.Hidden))
	if got := values(t, index); !slices.Equal(got, []float64{0, 1, 2, 3}) {
		t.Errorf("experts %v, want the first four", got)
	}
	if got := values(t, weight); !slices.Equal(got, []float64{0.625, 0.625, 0.625, 0.625}) {
		t.Errorf("weights %v, want 2.5/4 each", got)
	}
}
