package moe_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/moe"
)

// With one normalised weight per token, the weight is 1 whatever the scores are. Rounding
// must not leave a small gradient, which Adam would scale up to a full step.
func TestOneNormalisedExpertLeavesTheGateToTheBalanceLoss(t *testing.T) {
	b := open(t)
	const tokens, steps = 40, 3
	for _, scoring := range []backend.Scoring{backend.ScoreSigmoid, backend.ScoreSoftmax} {
		for _, alpha := range []float64{0, 0.1} {
			cfg := moe.Config{Hidden: 12, Intermediate: 7, Experts: 8, TopK: 1, Scoring: scoring, Normalize: true, Scale: 2.5}
			m := newMoE(t, b, backend.F32, cfg)
			params := []*tensor.Param{m.Gate.W.W, m.Experts.Gate, m.Experts.Up, m.Experts.Down}
			moments, err := train.NewMoments(train.AdamW{LR: 0.01}, params)
			must(t, err)
			gate, experts := floats(t, m.Gate.W.W), floats(t, m.Experts.Down)
			s := tensor.NewScope(b, tensor.Options{Grad: true})
			for step := range steps {
				r := rand.New(rand.NewPCG(3, uint64(step)))
				out := m.Forward(s.Floats(backend.F32, normals(r, 1, tokens*cfg.Hidden), tokens, cfg.Hidden))
				loss := tensor.Sum(tensor.Mul(out.Y, s.Floats(backend.F32, normals(r, 1, tokens*cfg.Hidden), tokens, cfg.Hidden)))
				if alpha > 0 {
					loss = tensor.Add(loss, m.Gate.BalanceLoss(out.Scores, s.Ints([]int32{0, tokens}, 2), alpha, 1))
				}
				must(t, s.Backward(loss))
				must(t, moments.Step(train.At{Step: step + 1, Factor: 1, GradScale: 1}))
				for _, p := range params {
					must(t, p.ZeroGrad())
				}
				s.Reset()
			}
			s.Close()
			moments.Free()
			if moved := !slices.Equal(floats(t, m.Gate.W.W), gate); moved != (alpha > 0) {
				t.Errorf("scoring %v, balance loss of %v: the gate's weights moved: %v, by up to %v", scoring, alpha, moved,
					largest(floats(t, m.Gate.W.W), gate))
			}
			if slices.Equal(floats(t, m.Experts.Down), experts) {
				t.Errorf("scoring %v, balance loss of %v: the experts did not move", scoring, alpha)
			}
		}
	}
}

// largest is the largest |x−y| over the elements of two lists.
func largest(x, y []float64) float64 {
	d := 0.0
	for i, v := range x {
		d = max(d, v-y[i], y[i]-v)
	}
	return d
}
