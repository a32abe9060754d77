package rl

import (
	"fmt"
	"math"
)

// tokenStats gathers, on the host and in the order of the tokens, what the
// metrics say about the completion tokens of one optimizer update.
type tokenStats struct {
	n            float64
	low, high    float64 // tokens whose ratio is clipped, with the advantage that matters
	lowMin       float64 // least share of such tokens in a completion
	highMax      float64 // greatest
	kl, approxKL float64
	entropy      float64
	ratio        summary // π_θ/π_old
	difference   summary // |log π_θ − log π_old|
	policyLoss   float64 // the loss but for the entropy bonus
	hasReference bool
	routing      routingStats
}

// summary is the range and the sum of values.
type summary struct{ min, max, sum float64 }

func (s *summary) add(v float64, first bool) {
	if first {
		s.min, s.max = v, v
	}
	s.min, s.max, s.sum = min(s.min, v), max(s.max, v), s.sum+v
}

func summarize(values []int) summary {
	var s summary
	for i, v := range values {
		s.add(float64(v), i == 0)
	}
	return s
}

// read takes in a micro-batch after its backward pass.
func (t *tokenStats) read(o Objective, xs []experience, tokens Tokens) error {
	logProb, err := tokens.LogProb.Values()
	if err != nil {
		return err
	}
	entropy, err := tokens.Entropy.Values()
	if err != nil {
		return err
	}
	t.add(o, xs, logProb, entropy)
	return nil
}

// add takes in the log-probabilities and entropies of the rows of xs.
func (t *tokenStats) add(o Objective, xs []experience, logProb, entropy []float64) {
	lo, hi := o.bounds()
	for _, x := range xs {
		fresh, low, high := t.n == 0, t.low, t.high
		for i, old := range x.LogProbs {
			lp := logProb[x.first()+i]
			ratio := t.compare(lp, old)
			t.approxKL += k3(old, lp)
			t.entropy += entropy[x.first()+i]
			advantage := x.advantages[i]
			switch {
			case ratio < lo && advantage < 0:
				t.low++
			case ratio > hi && advantage > 0:
				t.high++
			}
			clipped := min(max(ratio, lo), hi)
			t.policyLoss -= float64(x.weight * min(ratio*advantage, clipped*advantage))
			if x.ref != nil {
				t.hasReference = true
				kl := k3(lp, x.ref[i])
				t.kl += kl
				t.policyLoss += float64(x.weight * o.Beta * kl)
			}
		}
		low, high = (t.low-low)/float64(len(x.IDs)), (t.high-high)/float64(len(x.IDs))
		if fresh {
			t.lowMin, t.highMax = low, high
		}
		t.lowMin, t.highMax = min(t.lowMin, low), max(t.highMax, high)
		logProb, entropy = logProb[x.seq.Rows():], entropy[x.seq.Rows():]
	}
}

// compare counts a token with its log-probabilities under the trained model and in
// the rollout, and returns their ratio π_θ/π_old.
func (t *tokenStats) compare(logProb, old float64) float64 {
	first := t.n == 0
	t.n++
	ratio := math.Exp(boundLogRatio(logProb - old))
	t.ratio.add(ratio, first)
	t.difference.add(math.Abs(logProb-old), first)
	return ratio
}

// mismatch is an error unless the log-probabilities were the same, bit for bit.
func (t *tokenStats) mismatch() error {
	if d := t.difference; !(d.max == 0) {
		return fmt.Errorf("log-probabilities of trainer and rollout differ by up to %g (mean %g)", d.max, d.sum/t.n)
	}
	return nil
}

func boundLogRatio(x float64) float64 { return min(max(x, -maxLogRatio), maxLogRatio) }

// k3 is K3 on the host: an estimate of KL(p ‖ q) from the log-probabilities of
// a token drawn from p.
func k3(logP, logQ float64) float64 {
	x := boundLogRatio(logQ - logP)
	return math.Expm1(x) - x
}
