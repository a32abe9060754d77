package rl

import (
	"cmp"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// Pair is a prompt with a preferred, chosen completion and a rejected one, as token ids.
// The completions include their end-of-sequence tokens.
type Pair struct {
	Prompt, Chosen, Rejected []int32
	Weight                   float64 // weight of its loss in the mean over a batch; 0 means 1
	// Margin is the difference of scores, in units of reward, by which OutcomeTraining is to
	// separate the two completions. It must be 0 for DPO.
	Margin float64
}

// rows returns the number of rows that the pair takes in a batch.
func (p Pair) rows() int { return 2*(len(p.Prompt)-1) + len(p.Chosen) + len(p.Rejected) }

// comparison is a Pair together with everything that the loss needs.
type comparison struct {
	chosen, rejected trainSample
	weight           float64 // weight of its loss in the sum
}

// comparisons returns the pairs with the given indices, with their log π_ref, and the
// totals of the global batch that they form. Under Precompute, the log-probabilities of
// pairs[i] are at index first+i of those precomputed.
func (d *DPO) comparisons(pairs []Pair, indices []int, first int) ([]comparison, model.Global, error) {
	all := make([]comparison, len(indices))
	weight, tokens := 0.0, 0
	for i, at := range indices {
		p := pairs[at]
		prompt := rollout.Prompt{IDs: p.Prompt}
		all[i] = comparison{
			newTrainSample(prompt, &rollout.Sample{IDs: p.Chosen}, nil),
			newTrainSample(prompt, &rollout.Sample{IDs: p.Rejected}, nil), cmp.Or(p.Weight, 1),
		}
		weight += all[i].weight
		tokens += len(p.Chosen) + len(p.Rejected)
	}
	global := model.Global{Weight: float64(tokens), Sequences: 2 * len(all)}
	for i := range all {
		all[i].weight /= weight
	}
	if d.known != nil {
		for i, at := range indices {
			all[i].chosen.ref, all[i].rejected.ref = d.known[2*(first+at)], d.known[2*(first+at)+1]
		}
		return all, global, nil
	}
	ref, err := d.reference.logProbs(both(all), d.Trainer.MaxRows, 1)
	if err != nil {
		return nil, global, err
	}
	for i := range all {
		all[i].chosen.ref, all[i].rejected.ref = ref[2*i], ref[2*i+1]
	}
	return all, global, nil
}

// both returns the completions of pairs, each chosen one before its rejected one.
func both(pairs []comparison) []trainSample {
	var xs []trainSample
	for _, c := range pairs {
		xs = append(xs, c.chosen, c.rejected)
	}
	return xs
}

// splitPairs splits n pairs in order into runs of at most most packed rows, and returns
// the ends of the runs. A longer pair is a run by itself. If most is 0, there is one run.
func splitPairs(n, most int, rows func(i int) int) (ends []int) {
	used, from := 0, 0
	for i := range n {
		if r := rows(i); i > from && most > 0 && used+r > most {
			ends = append(ends, i)
			used, from = r, i
		} else {
			used += r
		}
	}
	return append(ends, n)
}

// wholePairs splits pairs into micro-batches.
func wholePairs(pairs []comparison, rows int) (out [][]comparison) {
	from := 0
	for _, end := range splitPairs(len(pairs), rows, func(i int) int {
		return pairs[i].chosen.seq.Rows() + pairs[i].rejected.seq.Rows()
	}) {
		out, from = append(out, pairs[from:end]), end
	}
	return out
}

// runs splits indices of pairs as wholePairs does.
func (d *DPO) runs(pairs []Pair, indices []int) (out [][]int) {
	from := 0
	for _, end := range splitPairs(len(indices), d.Trainer.MaxRows, func(i int) int { return pairs[indices[i]].rows() }) {
		out, from = append(out, indices[from:end]), end
	}
	return out
}

// epochOrder is the random order of the examples in an epoch. The zero value has none yet.
type epochOrder struct {
	epoch int
	perm  []int
}

// indices returns the indices, among n examples, of the examples of a step; the first step
// is 0. A step has batch examples, but the last step of an epoch may have fewer. Each epoch
// has its own order. The result depends only on the arguments.
func (k *epochOrder) indices(seed uint64, step, batch, n int) []int {
	steps := stepsOfEpoch(n, batch)
	epoch, at := step/steps, step%steps*batch
	if k.perm == nil || k.epoch != epoch {
		*k = epochOrder{epoch, train.EpochOrder(seed, epoch, n)}
	}
	return k.perm[at:min(at+batch, n)]
}

func stepsOfEpoch(n, batch int) int { return (n + batch - 1) / batch }

// next returns the indices of the pairs of the next step.
func (d *DPO) next() []int { return d.batchIndices(d.step) }

// batchIndices returns the indices of the pairs of a step.
func (d *DPO) batchIndices(step int) []int {
	return d.order.indices(d.Trainer.Seed, step, d.batch(), len(d.Pairs))
}
