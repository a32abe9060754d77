package rl

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// randomCase returns completions of the given lengths, with log-probabilities near the old
// policy's.
func randomCase(rng *rand.Rand, lengths ...int) lossCase {
	c := lossCase{lengths: lengths}
	for _, n := range lengths {
		weight := 0.1 + rng.Float64()
		for range n {
			old := -3 * rng.Float64()
			c.old = append(c.old, old)
			c.logProb = append(c.logProb, old+0.4*rng.NormFloat64())
			c.ref = append(c.ref, old+0.4*rng.NormFloat64())
			c.entropy = append(c.entropy, rng.Float64())
			c.advantage = append(c.advantage, rng.NormFloat64())
			c.weight, c.mean = append(c.weight, weight), append(c.mean, 0.1)
		}
	}
	return c
}

// The gradients of surrogates, levels and divergences without stop-gradient agree with finite
// differences.
func TestSurrogatesAgreeWithFiniteDifferences(t *testing.T) {
	const seed = 21
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	b := openCPU(t)
	for _, o := range []Objective{
		{DualClip: 1.3},
		{Level: LevelSequence, EpsilonLow: 0.1, Beta: 0.3, Divergence: DivergenceK3Unbiased},
		{Level: LevelTrajectory, EpsilonLow: 0.5},
		{Surrogate: SurrogateSAPO, TauNegative: 2},
		{Surrogate: SurrogateSAPO, Level: LevelSequence},
		{Surrogate: SurrogateReinforce, Beta: 0.3, Divergence: DivergenceK1},
		{Surrogate: SurrogateMirrorDescent, MirrorTau: 0.7, Beta: 0.3, Divergence: DivergenceK2},
		{Surrogate: SurrogateMirrorDescent, MirrorTau: 0.7, Level: LevelSequence},
		{Beta: 0.3, Divergence: DivergenceK3Unbiased, EntropyCoef: 0.2},
	} {
		if err := o.validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		c := randomCase(rng, 1, 4, 3)
		_, grad, _ := c.evaluate(t, b, o.Loss)
		for i, at := range c.logProb {
			const h = 1e-6
			c.logProb[i] = at + h
			up, _, _ := c.evaluate(t, b, o.Loss)
			c.logProb[i] = at - h
			down, _, _ := c.evaluate(t, b, o.Loss)
			c.logProb[i] = at
			near(t, fmt.Sprintf("%+v: gradient %d", o, i), grad[i], (up-down)/(2*h), 1e-8)
		}
	}
}

// The objective of Kimi k1.5 for a completion y is −A·log π(y) + τ/2·(log π(y)/π_old(y))².
func TestMirrorDescentOfCompletionsByHand(t *testing.T) {
	c := lossCase{
		logProb: []float64{-1, -2, -3}, old: []float64{-1.5, -1.75, -2}, entropy: make([]float64, 3),
		ref: make([]float64, 3), advantage: []float64{2, 2, -1}, weight: []float64{.5, .5, .25}, mean: make([]float64, 3),
		lengths: []int{2, 1},
	}
	loss, grad, _ := c.evaluate(t, openCPU(t), Objective{
		Surrogate: SurrogateMirrorDescent, Level: LevelSequence, MirrorTau: 0.4}.Loss)
	// log π is −3 for both completions, and the log-ratio is 0.25 and −1.
	near(t, "loss", loss, .5*(-2*-3+.2*.0625)+.25*(-3+.2*1), 1e-15)
	// The gradient is w·(−A + τ·log ratio).
	for i, want := range []float64{.5 * (-2 + .4*.25), .5 * (-2 + .4*.25), .25 * (1 + .4*-1)} {
		near(t, fmt.Sprint("gradient ", i), grad[i], want, 1e-15)
	}
}

// If all tokens of a completion have the same advantage, GSPO-token has the loss and the
// gradient of GSPO (arXiv 2507.18071 eq. 17).
func TestGSPOTokenIsGSPOForOneAdvantage(t *testing.T) {
	const seed = 22
	t.Log("seed", seed)
	c := randomCase(rand.New(rand.NewPCG(seed, 0)), 3, 5, 1)
	for i := range c.advantage {
		c.advantage[i] = []float64{1, 1, 1, -2, -2, -2, -2, -2, 0.5}[i]
	}
	b := openCPU(t)
	gspo, by, _ := c.evaluate(t, b, Objective{Level: LevelSequence, EpsilonLow: 0.5}.Loss)
	token, byToken, _ := c.evaluate(t, b, Objective{Level: LevelSequenceToken, EpsilonLow: 0.5}.Loss)
	near(t, "loss", token, gspo, 1e-14)
	for i := range by {
		near(t, fmt.Sprint("gradient ", i), byToken[i], by[i], 1e-14)
	}
	if math.Abs(by[0]) < 1e-3 {
		t.Errorf("gradient %g: the test is not conclusive", by[0])
	}
}

// Splitting a batch into micro-batches changes neither the loss nor its gradient, at any
// level.
func TestMicroBatchesOfSequenceRatiosAddUp(t *testing.T) {
	const seed = 23
	t.Log("seed", seed)
	c := randomCase(rand.New(rand.NewPCG(seed, 0)), 3, 5, 1, 2)
	part := func(lo, hi int, lengths ...int) lossCase {
		return lossCase{c.logProb[lo:hi], c.entropy[lo:hi], c.old[lo:hi], c.ref[lo:hi], c.advantage[lo:hi],
			c.weight[lo:hi], c.mean[lo:hi], lengths}
	}
	b := openCPU(t)
	for _, level := range []Level{LevelToken, LevelSequence, LevelSequenceToken, LevelTrajectory} {
		o := Objective{Level: level, Beta: 0.1, Divergence: DivergenceK3Unbiased, EntropyCoef: 0.1}
		whole, grad, _ := c.evaluate(t, b, o.Loss)
		one, first, _ := part(0, 8, 3, 5).evaluate(t, b, o.Loss)
		two, second, _ := part(8, 11, 1, 2).evaluate(t, b, o.Loss)
		near(t, string(level)+": loss", one+two, whole, 1e-14)
		for i, g := range append(first, second...) {
			near(t, fmt.Sprint(level, ": gradient ", i), g, grad[i], 1e-15)
		}
	}
}

// Fields that cannot be combined give an error that names them.
func TestObjectivesThatMeanNothingAreRefused(t *testing.T) {
	for _, c := range []struct {
		o    Objective
		want string
	}{
		{Objective{Surrogate: "gspo"},
			`Objective.Surrogate is "gspo", want clip, cispo, sapo, reinforce or mirror_descent`},
		{Objective{Level: "word"},
			`Objective.Level is "word", want token, sequence, sequence_token or trajectory`},
		{Objective{Divergence: "k4", Beta: 1},
			`Objective.Divergence is "k4", want k1, k2, k3 or k3_unbiased`},
		{Objective{DualClip: 1.1},
			"Objective.DualClip is 1.1, want more than 1+EpsilonHigh, which is 1.2"},
		{Objective{Surrogate: SurrogateCISPO, DualClip: 3},
			"Objective.DualClip is 3, which Surrogate cispo does not use"},
		{Objective{Surrogate: SurrogateSAPO, EpsilonHigh: .28},
			"Objective.EpsilonHigh is 0.28, which Surrogate sapo does not use"},
		{Objective{TauNegative: 2},
			"Objective.TauNegative is 2, which Surrogate clip does not use"},
		{Objective{Surrogate: SurrogateMirrorDescent},
			"Objective.MirrorTau is 0, but Surrogate mirror_descent requires it"},
		{Objective{MirrorTau: 1},
			"Objective.MirrorTau is 1, which Surrogate clip does not use"},
		{Objective{Surrogate: SurrogateReinforce, Level: LevelSequence},
			"Objective.Level is sequence, which Surrogate reinforce does not use"},
		{Objective{Divergence: DivergenceK1},
			"Objective.Divergence is k1, but Objective.Beta is 0"},
		{Objective{Surrogate: SurrogateMirrorDescent, MirrorTau: 1, Level: LevelTrajectory},
			"Objective.Level is trajectory, which Surrogate mirror_descent does not use"},
	} {
		wantError(t, c.o.validate(), c.want)
	}
	for _, o := range []Objective{{Surrogate: SurrogateClip, Level: LevelToken, DualClip: 3},
		{Surrogate: SurrogateReinforce, Level: LevelSequence, Divergence: DivergenceK3Unbiased, Beta: 1},
		{Divergence: DivergenceK3, Beta: 1}} {
		if err := o.validate(); err != nil {
			t.Error(err)
		}
	}
}

// Off-policy, where the levels differ, every split into micro-batches gives the same
// gradients.
func TestMicroBatchesChangeNothingAtAnyLevel(t *testing.T) {
	objectives := []Objective{
		{Surrogate: SurrogateMirrorDescent, Level: LevelSequence, MirrorTau: 0.1},
		{Surrogate: SurrogateCISPO, Level: LevelSequence, EpsilonHigh: 0.05},
	}
	for _, level := range []Level{LevelToken, LevelSequence, LevelSequenceToken, LevelTrajectory} {
		objectives = append(objectives, Objective{Level: level, Beta: 0.1, Divergence: DivergenceK3Unbiased})
	}
	for _, c := range []struct {
		dtype     backend.DType
		tolerance float64
	}{{backend.F64, 1e-9}, {backend.F32, 1e-6}} {
		for _, o := range objectives {
			var losses []float64
			var grads [][]float64
			for _, rows := range []int{0, 1, 25} {
				g := newRun(t, openCPU(t), model.Options{DType: c.dtype})
				noise(g)
				g.Objective, g.Trainer.MaxRows, g.OnAlarm = o, rows, func(int, []string) {}
				losses = append(losses, mustStep(t, g).Values["loss"])
				grads = append(grads, gradients(t, g))
			}
			for i := 1; i < 3; i++ {
				name := fmt.Sprintf("%v, %s at %s", c.dtype, o.Surrogate, o.Level)
				near(t, name+": loss", losses[i], losses[0], c.tolerance)
				if d := relative(grads[i], grads[0]); !(d <= c.tolerance) {
					t.Errorf("%s: gradients of split %d differ by %g", name, i, d)
				}
			}
		}
	}
}
