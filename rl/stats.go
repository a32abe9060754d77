package rl

import (
	"github.com/aha-go/aha/backend/tensor"
)

// tokenStats accumulates the metrics of the completion tokens of one optimizer update, on
// the host and in the order of the tokens.
type tokenStats struct {
	agreement
	clip         clipStats
	kl, approxKL float64
	entropy      float64
	policyLoss   float64 // loss without the entropy bonus
	masked       int     // number of tokens that OffPolicy.MaskThreshold masks
	hasReference bool
	routing      routingStats
}

// summary holds the minimum, the maximum and the sum of values.
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

// read adds a micro-batch after its backward pass. policyLoss is its contribution to the
// loss.
func (t *tokenStats) read(o Objective, xs []trainSample, tokens Tokens, policyLoss tensor.Tensor) error {
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

// add adds xs, given the log-probabilities and entropies of their rows.
func (t *tokenStats) add(o Objective, xs []trainSample, logProb, entropy []float64) {
	for _, x := range xs {
		lps := logProb[x.first():x.seq.Rows()]
		before := x.old()
		ratios := o.ratiosOf(lps, before)
		t.clip.add(o, ratios, x.advantages)
		for i, old := range before {
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

func boundLogRatio(x float64) float64 { return min(max(x, -maxLogRatio), maxLogRatio) }
