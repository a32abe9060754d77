package rl

import (
	"cmp"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/rollout"
)

// Pair is a prompt and two completions of it, of which the chosen one is preferred, as
// token ids with those that end a completion.
type Pair struct {
	Prompt, Chosen, Rejected []int32
	Weight                   float64 // of its loss in the mean over a batch; 0 means 1
	// Margin is by how much the chosen one is better, in units of reward: OutcomeTraining
	// is to tell the two apart by as much. 0 for DPO.
	Margin float64
}

// rows is what the pair takes in a batch.
func (p Pair) rows() int { return 2*(len(p.Prompt)-1) + len(p.Chosen) + len(p.Rejected) }

// comparison is a Pair as the loss needs it.
type comparison struct {
	chosen, rejected experience
	weight           float64 // of its loss in the sum
}

// comparisons are the pairs of the given indices with log π_ref, and their totals as
// one global batch. Precompute has those of pairs from index first on.
func (d *DPO) comparisons(pairs []Pair, indices []int, first int) ([]comparison, model.Global, error) {
	all := make([]comparison, len(indices))
	weight, tokens := 0.0, 0
	for i, at := range indices {
		p := pairs[at]
		prompt := rollout.Prompt{IDs: p.Prompt}
		all[i] = comparison{
			newExperience(prompt, &rollout.Sample{IDs: p.Chosen}, nil),
			newExperience(prompt, &rollout.Sample{IDs: p.Rejected}, nil), cmp.Or(p.Weight, 1),
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

// both are the completions of pairs, each chosen one before its rejected one.
func both(pairs []comparison) []experience {
	var xs []experience
	for _, c := range pairs {
		xs = append(xs, c.chosen, c.rejected)
	}
	return xs
}

// splitPairs cuts n pairs in order into runs of at most most packed rows each; a pair that
// takes more is alone. most 0 means one run. It returns the ends of the runs.
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

// deck deals n examples out to steps of batch each, in an order of its own in each epoch.
type deck struct {
	epoch int
	order []int
}

// deal are the indices of the examples of a step, the first being 0: a pure function of
// its arguments. The last step of an epoch has what is left.
func (k *deck) deal(seed uint64, step, batch, n int) []int {
	steps := stepsOfEpoch(n, batch)
	epoch, at := step/steps, step%steps*batch
	if k.order == nil || k.epoch != epoch {
		*k = deck{epoch, train.EpochOrder(seed, epoch, n)}
	}
	return k.order[at:min(at+batch, n)]
}

func stepsOfEpoch(n, batch int) int { return (n + batch - 1) / batch }

// next are the indices of the pairs of the next step.
func (d *DPO) next() []int { return d.deal(d.step) }

// deal are the indices of the pairs of a step.
func (d *DPO) deal(step int) []int {
	return d.dealt.deal(d.Trainer.Seed, step, d.batch(), len(d.Pairs))
}
