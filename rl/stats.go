package rl

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend/tensor"
)

// tokenStats gathers, on the host and in the order of the tokens, what the
// metrics say about the completion tokens of one optimizer update.
type tokenStats struct {
	n            float64
	clip         clipStats
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

// read takes in a micro-batch after its backward pass; policyLoss is its share of
// the loss.
func (t *tokenStats) read(o Objective, xs []experience, tokens Tokens, policyLoss tensor.Tensor) error {
	logProb, err := tokens.LogProb.Values()
	if err != nil {
		return err
	}
	entropy, err := tokens.Entropy.Values()
	if err != nil {
		return err
	}
	loss, err := policyLoss.Item()
	if err != nil {
		return err
	}
	t.policyLoss += loss
	t.add(o, xs, logProb, entropy)
	return nil
}

// add takes in the log-probabilities and entropies of the rows of xs.
func (t *tokenStats) add(o Objective, xs []experience, logProb, entropy []float64) {
	for _, x := range xs {
		lps := logProb[x.first():x.seq.Rows()]
		ratios := o.ratiosOf(lps, x.LogProbs)
		t.clip.add(o, ratios, x.advantages)
		for i, old := range x.LogProbs {
			t.compare(lps[i], old)
			t.approxKL += k3(old, lps[i])
			t.entropy += entropy[x.first()+i]
			if x.ref != nil {
				t.hasReference = true
				t.kl += o.divergenceOf(lps[i], x.ref[i], ratios[i])
			}
		}
		logProb, entropy = logProb[x.seq.Rows():], entropy[x.seq.Rows():]
	}
}

// compare counts a token with its log-probabilities under the trained model and in
// the rollout.
func (t *tokenStats) compare(logProb, old float64) {
	first := t.n == 0
	t.n++
	t.ratio.add(math.Exp(boundLogRatio(logProb-old)), first)
	t.difference.add(math.Abs(logProb-old), first)
}

// mismatch is an error unless the log-probabilities were the same, bit for bit.
func (t *tokenStats) mismatch() error {
	if d := t.difference; !(d.max == 0) {
		return fmt.Errorf("log-probabilities of trainer and rollout differ by up to %g (mean %g)", d.max, d.sum/t.n)
	}
	return nil
}

func boundLogRatio(x float64) float64 { return min(max(x, -maxLogRatio), maxLogRatio) }
