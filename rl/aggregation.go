package rl

import (
	"cmp"

	"github.com/aha-go/aha/rl/reward"
)

// Aggregation selects how several reward functions are combined into one advantage:
// TRL's multi_objective_aggregation.
type Aggregation string

const (
	// SumThenNormalize computes advantages from the weighted sum of the rewards. It is
	// the default.
	SumThenNormalize Aggregation = "sum_then_normalize"
	// NormalizeThenSum normalizes the rewards of each function within the group, sums
	// them with their weights, and normalizes the sums over the batch, so that a function
	// with a small spread counts as much as one with a large spread (GDPO, arXiv
	// 2601.05242).
	NormalizeThenSum Aggregation = "normalize_then_sum"
)

// normalizeThenSum computes the advantages of NormalizeThenSum. It sets ZeroStd for a
// group if every function gives all of its samples equal rewards. (TRL counts either
// all groups or none.)
func (g *GRPO) normalizeThenSum(r *Rollout) Advantages {
	n := g.groupSize()
	a := groupSpread(r.Rewards, n)
	for p := range a.ZeroStd {
		a.ZeroStd[p] = true
	}
	for f, fn := range g.Reward.Funcs {
		if fn.MetricOnly {
			continue
		}
		verdicts := make([]reward.Verdict, len(r.Rewards))
		for i := range verdicts {
			verdicts[i] = r.Scores.Verdicts[f][r.judged(i)]
			if !a.Scored[i] {
				verdicts[i] = reward.Verdict{Status: reward.NotApplicable}
			}
		}
		own := GroupAdvantages(verdicts, n, ScaleGroup, g.StdEps)
		for i, v := range own.Value {
			a.Value[i] += float64(cmp.Or(fn.Weight, 1) * v)
		}
		for p, zero := range own.ZeroStd {
			a.ZeroStd[p] = a.ZeroStd[p] && zero
		}
	}
	var sums []float64
	for i, v := range a.Value {
		if a.Scored[i] {
			sums = append(sums, v)
		}
	}
	if len(sums) == 0 {
		return a
	}
	mean, std := meanStd(sums)
	for i := range a.Value {
		if a.Scored[i] && !a.ZeroStd[i/n] {
			a.Value[i] = (a.Value[i] - mean) / (std + g.stdEps())
		} else {
			a.Value[i] = 0
		}
	}
	return a
}
