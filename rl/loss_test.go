package rl

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

func openCPU(t testing.TB) backend.Backend {
	t.Helper()
	b, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// lossCase holds the inputs of the loss for some tokens, in float64. lengths are the lengths
// of the completions; nil means a single completion.
type lossCase struct {
	logProb, entropy, old, ref, advantage, weight, mean []float64
	lengths                                             []int
}

// batch returns a batch with a sequence for each completion, after a prompt of one token.
func (c lossCase) batch(s *tensor.Scope) model.Batch {
	lengths := c.lengths
	if lengths == nil {
		lengths = []int{len(c.logProb)}
	}
	var b model.Batch
	start := []int32{0}
	for _, n := range lengths {
		q := model.Sequence{IDs: make([]int32, n+1), Weight: slices.Repeat([]float32{1}, n)}
		b.Host = append(b.Host, q)
		start = append(start, start[len(start)-1]+int32(n))
	}
	b.SeqStart = s.Ints(start, len(start))
	return b
}

// evaluate returns the loss and its gradients with respect to log-probability and entropy.
func (c lossCase) evaluate(t testing.TB, b backend.Backend, loss func(Tokens) tensor.Tensor) (value float64,
	byLogProb, byEntropy []float64) {
	t.Helper()
	n := len(c.logProb)
	param := func(name string, data []float64) *tensor.Param {
		p, err := tensor.NewParam(b, name, backend.F64, n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Free)
		if err := p.SetFloats(data); err != nil {
			t.Fatal(err)
		}
		return p
	}
	lp, h := param("logProb", c.logProb), param("entropy", c.entropy)
	s := tensor.NewScope(b, tensor.Options{Grad: true})
	defer s.Close()
	floats := func(x []float64) tensor.Tensor { return s.Floats(backend.F64, x, n) }
	l := loss(Tokens{
		LogProb: lp.In(s), Entropy: h.In(s), OldLogProb: floats(c.old), RefLogProb: floats(c.ref),
		Advantage: floats(c.advantage), Weight: floats(c.weight), MeanWeight: floats(c.mean), Batch: c.batch(s),
	})
	if err := s.Backward(l); err != nil {
		t.Fatal(err)
	}
	value, err := l.Item()
	if err != nil {
		t.Fatal(err)
	}
	grad := func(p *tensor.Param) []float64 {
		v, err := p.Grad()
		if err != nil {
			t.Fatal(err)
		}
		x, err := backend.Values(b, v)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	return value, grad(lp), grad(h)
}

// one returns a single token with ratio exp(logRatio).
func one(logRatio, advantage float64) lossCase {
	return lossCase{
		logProb: []float64{-1 + logRatio}, entropy: []float64{0.7}, old: []float64{-1}, ref: []float64{-1},
		advantage: []float64{advantage}, weight: []float64{1}, mean: []float64{0.5},
	}
}

func TestClippedLossByHand(t *testing.T) {
	b := openCPU(t)
	ln := math.Log
	for _, c := range []struct {
		name       string
		ratio, adv float64
		loss, grad float64 // d loss / d log π is −ρA if the token is not clipped
	}{
		{"on policy", 1, 2, -2, -2},
		{"inside, good", 1.1, 2, -2.2, -2.2},
		{"inside, bad", 0.9, -2, 1.8, 1.8},
		// With A > 0 the ratio is clipped above: min(1.5·2, 1.28·2) = 2.56, no gradient.
		{"above, A > 0", 1.5, 2, -2.56, 0},
		// With A < 0 it is not: min(1.5·−2, 1.28·−2) = −3.
		{"above, A < 0", 1.5, -2, 3, 3},
		// With A < 0 the ratio is clipped below: min(0.5·−2, 0.8·−2) = −1.6, no gradient.
		{"below, A < 0", 0.5, -2, 1.6, 0},
		// With A > 0 it is not: min(0.5·2, 0.8·2) = 1.
		{"below, A > 0", 0.5, 2, -1, -1},
		{"no advantage", 1.5, 0, 0, 0},
		// A ratio between 1.2 and 1.28 is not clipped, thanks to clip-higher.
		{"clip-higher", 1.25, 2, -2.5, -2.5},
	} {
		o := Objective{EpsilonHigh: 0.28}
		loss, grad, _ := one(ln(c.ratio), c.adv).evaluate(t, b, o.Loss)
		near(t, c.name+": loss", loss, c.loss, 1e-14)
		near(t, c.name+": gradient", grad[0], c.grad, 1e-14)
	}
	// Without EpsilonHigh both bounds use 0.2: min(1.25·2, 1.2·2) = 2.4.
	loss, grad, _ := one(ln(1.25), 2).evaluate(t, b, Objective{}.Loss)
	near(t, "symmetric: loss", loss, -2.4, 1e-14)
	near(t, "symmetric: gradient", grad[0], 0, 0)
}

func TestK3ByHand(t *testing.T) {
	b := openCPU(t)
	// π_θ = 1/2, π_ref = 1/4: π_ref/π_θ = 1/2, k3 = 1/2 − ln(1/2) − 1 =
	// ln 2 − 1/2 = 0.193147…, derivative 1 − 1/2 = 1/2. With β = 0.1 and A = 0:
	c := lossCase{
		logProb: []float64{math.Log(.5)}, entropy: []float64{0}, old: []float64{math.Log(.5)}, ref: []float64{math.Log(.25)},
		advantage: []float64{0}, weight: []float64{1}, mean: []float64{1},
	}
	loss, grad, _ := c.evaluate(t, b, Objective{Beta: 0.1}.Loss)
	near(t, "β·k3", loss, 0.1*(math.Ln2-0.5), 1e-15)
	near(t, "β·dk3", grad[0], 0.1*0.5, 1e-15)
	near(t, "k3 on the host", k3(math.Log(.5), math.Log(.25)), math.Ln2-0.5, 1e-15)

	// With π_ref = 1: π_ref/π_θ = 2, k3 = 2 − ln 2 − 1, derivative −1.
	c.ref[0] = 0
	loss, grad, _ = c.evaluate(t, b, Objective{Beta: 0.1}.Loss)
	near(t, "β·k3", loss, 0.1*(1-math.Ln2), 1e-15)
	near(t, "β·dk3", grad[0], -0.1, 1e-15)
}

func TestEntropyBonusByHand(t *testing.T) {
	loss, grad, byEntropy := one(0, 2).evaluate(t, openCPU(t), Objective{EntropyCoef: 0.01}.Loss)
	near(t, "loss", loss, -2-0.01*0.5*0.7, 1e-15)
	near(t, "gradient by log π", grad[0], -2, 1e-15)
	near(t, "gradient by entropy", byEntropy[0], -0.01*0.5, 1e-15)
}

// The gradient of the whole objective agrees with finite differences, and its value with the
// formula evaluated in float64.
func TestObjectiveAgreesWithDefinitionAndFiniteDifferences(t *testing.T) {
	const seed = 11
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	b := openCPU(t)
	o := Objective{EpsilonLow: 0.1, EpsilonHigh: 0.3, Beta: 0.05, EntropyCoef: 0.02}
	const n = 40
	var c lossCase
	for range n {
		old := -3 * rng.Float64()
		c.old = append(c.old, old)
		c.logProb = append(c.logProb, old+0.4*rng.NormFloat64())
		c.ref = append(c.ref, old+0.4*rng.NormFloat64())
		c.entropy = append(c.entropy, rng.Float64())
		c.advantage = append(c.advantage, rng.NormFloat64())
		c.weight, c.mean = append(c.weight, rng.Float64()), append(c.mean, 1./n)
	}
	definition := func(c lossCase) float64 {
		sum := 0.0
		for i := range n {
			r := math.Exp(c.logProb[i] - c.old[i])
			clip := math.Max(0.9, math.Min(1.3, r))
			q := math.Exp(c.ref[i] - c.logProb[i])
			surrogate := -math.Min(r*c.advantage[i], clip*c.advantage[i])
			sum += c.weight[i]*(surrogate+0.05*(q-math.Log(q)-1)) - 0.02*c.entropy[i]/n
		}
		return sum
	}
	loss, grad, _ := c.evaluate(t, b, o.Loss)
	near(t, "loss", loss, definition(c), 1e-13)
	clipped := 0
	for i := range n {
		const h = 1e-6
		at := c.logProb[i]
		c.logProb[i] = at + h
		up := definition(c)
		c.logProb[i] = at - h
		down := definition(c)
		c.logProb[i] = at
		near(t, fmt.Sprintf("gradient %d", i), grad[i], (up-down)/(2*h), 1e-8)
		if r := math.Exp(at - c.old[i]); r < 0.9 || r > 1.3 {
			clipped++
		}
	}
	if clipped < 5 || clipped > n-5 {
		t.Errorf("%d of %d tokens are outside of the clip range: the test is not conclusive", clipped, n)
	}
}

func TestTokenWeightsByHand(t *testing.T) {
	// A rollout has 7 samples of at most 16 tokens. One is in a skipped group and two are
	// masked; the other four have 2, 3, 5 and 10 tokens. The first of 2 updates has the
	// samples of 2 and 3 tokens.
	n := normalizer{updates: 2, allSamples: 7, kept: 6, rolloutTokens: 20, tokens: 5, maxTokens: 16}
	for _, c := range []struct {
		loss   LossType
		length int
		want   float64
	}{
		{LossGRPO, 2, 1. / 6},                    // 2/6 · 1/2
		{LossGRPO, 3, 1. / 9},                    // 2/6 · 1/3
		{LossDAPO, 2, 1. / 10}, {"", 3, 1. / 10}, // 1/(20/2)
		{LossLUSPO, 2, 1. / 3}, {LossLUSPO, 3, 1. / 3}, // 2/6
		{LossBNPO, 2, 1. / 5}, {LossBNPO, 3, 1. / 5},
		{LossDrGRPO, 2, 1. / 56}, {LossDrGRPO, 3, 1. / 56}, // 1/(7/2·16)
	} {
		near(t, string(c.loss), c.loss.weight(n, c.length), c.want, 1e-16)
	}
}
