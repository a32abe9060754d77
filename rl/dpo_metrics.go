package rl

import "github.com/aha-go/aha/backend/tensor"

// pairStats accumulates the metrics of pairs, on the host and in the order of the pairs.
type pairStats struct {
	n                int // number of pairs
	chosen, rejected pairSide
	right            int     // number of pairs whose chosen completion has the greater reward
	loss, weight     float64 // sums over pairs
	entropy          float64 // sum over tokens
	tokens           int
}

// pairSide holds sums over all chosen or all rejected completions.
type pairSide struct{ reward, logProb float64 }

// read adds pairs, given the log-probabilities and entropies of their rows.
func (t *pairStats) read(d *DPO, pairs []comparison, logProb, entropy tensor.Tensor) error {
	lp, err := logProb.Values()
	if err != nil {
		return err
	}
	h, err := entropy.Values()
	if err != nil {
		return err
	}
	t.add(d, pairs, lp, h)
	return nil
}

func (t *pairStats) add(d *DPO, pairs []comparison, logProb, entropy []float64) {
	take := func(x trainSample, side *pairSide) (ratio float64) {
		sum := 0.0
		for i, ref := range x.ref {
			lp := logProb[x.first()+i]
			sum += lp
			ratio += lp - ref
			t.entropy += entropy[x.first()+i]
		}
		t.tokens += len(x.ref)
		side.logProb += sum
		side.reward += d.beta() * ratio
		logProb, entropy = logProb[x.seq.Rows():], entropy[x.seq.Rows():]
		return ratio
	}
	for _, c := range pairs {
		chosen, rejected := take(c.chosen, &t.chosen), take(c.rejected, &t.rejected)
		t.n++
		if chosen > rejected {
			t.right++
		}
		t.weight += c.weight
		t.loss += float64(c.weight * d.lossOf(float64(chosen*d.scale(c.chosen))-float64(rejected*d.scale(c.rejected))))
	}
}

// enter adds the metrics to v, with the given prefix.
func (t *pairStats) enter(v map[string]float64, prefix string) {
	n := float64(t.n)
	v[prefix+MetricRewardsChosen] = t.chosen.reward / n
	v[prefix+MetricRewardsRejected] = t.rejected.reward / n
	v[prefix+MetricRewardsAccuracies] = float64(t.right) / n
	v[prefix+MetricRewardsMargins] = (t.chosen.reward - t.rejected.reward) / n
	v[prefix+MetricLogpsChosen] = t.chosen.logProb / n
	v[prefix+MetricLogpsRejected] = t.rejected.logProb / n
	v[prefix+MetricEntropy] = t.entropy / float64(t.tokens)
}
