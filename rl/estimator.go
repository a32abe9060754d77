package rl

import (
	"cmp"
	"math"
	"slices"

	"github.com/aha-go/aha/rl/reward"
)

// Estimator selects how advantages are computed from rewards. The names are those of
// verl's adv_estimator.
type Estimator string

const (
	// EstimatorGRPO subtracts the mean of the group from each reward and scales the
	// result; see GroupAdvantages. Rewards of steps are compared with those of all steps of
	// the group. It is the default.
	EstimatorGRPO Estimator = "grpo"
	// EstimatorRLOO subtracts from each reward the mean of the other rewards of its group
	// (arXiv 2402.14740). With ScaleBatch the advantages are centred and divided by their
	// standard deviation over the batch: TRL's normalize_advantages.
	EstimatorRLOO Estimator = "rloo"
	// EstimatorReinforcePlusPlus sums, for each token, the rewards from that token to the
	// end, and whitens the sums over the tokens of the batch (arXiv 2501.03262, γ = 1). It
	// does not use groups, so G may be 1.
	EstimatorReinforcePlusPlus Estimator = "reinforce_plus_plus"
	// EstimatorReinforcePlusPlusBaseline subtracts the mean of the group from each reward
	// and whitens the result over the tokens of the batch.
	EstimatorReinforcePlusPlusBaseline Estimator = "reinforce_plus_plus_baseline"
)

// whitens reports whether the advantages are whitened over tokens instead of scaled by
// Scaling.
func (e Estimator) whitens() bool {
	return e == EstimatorReinforcePlusPlus || e == EstimatorReinforcePlusPlusBaseline
}

// scaling returns the default Scaling.
func (e Estimator) scaling() Scaling {
	if e == EstimatorRLOO {
		return ScaleNone
	}
	return ScaleGroup
}

// estimate computes the advantages of the samples of a rollout and of their tokens.
func (g *GRPO) estimate(r *Rollout) Advantages {
	n, scaling := g.groupSize(), cmp.Or(g.Scaling, g.Estimator.scaling())
	switch g.Estimator {
	case EstimatorRLOO:
		return leaveOneOut(g.sampleRewards(r), n, scaling, g.stdEps()).forTokens(r)
	case EstimatorReinforcePlusPlus:
		a := groupSpread(r.Rewards, n)
		a.Token = toGo(g.tokenRewards(r))
		equal := whiten(a.Token, a.Scored)
		for i, token := range a.Token {
			a.Value[i] = token[0]
		}
		for p := range a.ZeroStd {
			a.ZeroStd[p] = equal
		}
		return a
	case EstimatorReinforcePlusPlusBaseline:
		a := GroupAdvantages(g.sampleRewards(r), n, ScaleNone, 0).forTokens(r)
		compared := slices.Clone(a.Scored) // without samples that have the only reward of their group
		for i := range compared {
			compared[i] = compared[i] && scoredOf(a.Scored[i/n*n:i/n*n+n]) > 1
		}
		whiten(a.Token, compared)
		for i, token := range a.Token {
			a.Value[i] = token[0]
		}
		return a
	}
	var a Advantages
	if g.Aggregation == NormalizeThenSum {
		a = g.normalizeThenSum(r)
	} else {
		a = GroupAdvantages(g.sampleRewards(r), n, scaling, g.StdEps)
	}
	a = a.forTokens(r)
	if r.Steps != nil {
		a.addSteps(r.Steps, n, scaling, g.stdEps())
	}
	return a
}

func (g *GRPO) stdEps() float64 { return cmp.Or(g.StdEps, 1e-4) }

// forTokens sets the advantage of each token to that of its sample.
func (a Advantages) forTokens(r *Rollout) Advantages {
	a.Token = make([][]float64, len(r.Samples))
	for i, s := range r.Samples {
		a.Token[i] = slices.Repeat(a.Value[i:i+1], len(s.IDs))
	}
	return a
}

// leaveOneOut subtracts from each reward the mean of the other rewards of its group of g.
func leaveOneOut(totals []reward.Verdict, g int, scaling Scaling, eps float64) Advantages {
	a := groupSpread(totals, g)
	var compared []float64 // advantages of samples in groups with two rewards or more
	for p, zero := range a.ZeroStd {
		group := totals[p*g : (p+1)*g]
		n, sum := 0.0, 0.0
		for _, v := range group {
			if v.Status.Scored() {
				n++
				sum += v.Value
			}
		}
		for i, v := range group {
			if n < 2 || !v.Status.Scored() {
				continue
			}
			if !zero {
				a.Value[p*g+i] = v.Value - (sum-v.Value)/(n-1)
			}
			compared = append(compared, a.Value[p*g+i])
		}
	}
	if scaling != ScaleBatch || len(compared) == 0 {
		return a
	}
	mean, std := meanStd(compared)
	for i := range a.Value {
		if a.Scored[i] && !a.ZeroStd[i/g] {
			a.Value[i] = (a.Value[i] - mean) / (std + eps)
		}
	}
	return a
}

// sampleRewards returns the rewards for estimators that work on samples: the reward of a
// sample, minus RewardKL times the sum of log π_old/π_ref over its tokens. The rewards of
// its steps are added unless the Estimator handles them separately.
func (g *GRPO) sampleRewards(r *Rollout) []reward.Verdict {
	steps := r.Steps != nil && g.Estimator != EstimatorGRPO && g.Estimator != ""
	if !steps && r.RefLogProbs == nil {
		return r.Rewards
	}
	rewards := slices.Clone(r.Rewards)
	for i := range rewards {
		if !rewards[i].Status.Scored() {
			continue
		}
		if steps {
			for _, s := range r.Steps[i] {
				rewards[i].Value += s.Value
			}
		}
		if r.RefLogProbs != nil {
			kl := 0.0
			for t, ref := range r.RefLogProbs[i] {
				kl += r.Samples[i].LogProbs[t] - ref
			}
			rewards[i].Value -= float64(g.RewardKL * kl)
		}
	}
	return rewards
}

// tokenRewards returns the rewards for estimators that work on tokens,
// [samples][tokens]: the reward of a sample at its last token, plus the rewards of steps
// at their last tokens, minus RewardKL times log π_old/π_ref of each token. They are 0
// for samples without a reward.
func (g *GRPO) tokenRewards(r *Rollout) [][]float64 {
	rewards := make([][]float64, len(r.Samples))
	for i, s := range r.Samples {
		rewards[i] = make([]float64, len(s.IDs))
		if !r.Rewards[i].Status.Scored() {
			continue
		}
		rewards[i][len(s.IDs)-1] = r.Rewards[i].Value
		if r.Steps != nil {
			for _, step := range r.Steps[i] {
				rewards[i][step.Token] += step.Value
			}
		}
		if r.RefLogProbs != nil {
			for t, ref := range r.RefLogProbs[i] {
				rewards[i][t] -= float64(g.RewardKL * (s.LogProbs[t] - ref))
			}
		}
	}
	return rewards
}

// toGo replaces the rewards of tokens by rewards-to-go, their sums from each token to the
// end, in place.
func toGo(rewards [][]float64) [][]float64 {
	for _, x := range rewards {
		for t := len(x) - 2; t >= 0; t-- {
			x[t] += x[t+1]
		}
	}
	return rewards
}

// whiten scales the values of the tokens of the samples in use to mean 0 and standard
// deviation 1, as verl's masked_whiten does, and sets those of other samples to 0. If all
// values are equal, they become 0 and equal is true.
func whiten(tokens [][]float64, use []bool) (equal bool) {
	var all []float64
	for i, x := range tokens {
		if use[i] {
			all = append(all, x...)
		} else {
			clear(x)
		}
	}
	if len(all) == 0 {
		return true
	}
	mean, std := meanStd(all)
	equal = slices.Min(all) == slices.Max(all)
	scale := 1 / math.Sqrt(float64(std*std)+1e-8)
	for i, x := range tokens {
		for t := range x {
			switch {
			case equal:
				x[t] = 0
			case use[i]:
				x[t] = (x[t] - mean) * scale
			}
		}
	}
	return equal
}

// meanStd returns the mean and the unbiased standard deviation of values. The standard
// deviation of a single value is 0.
func meanStd(values []float64) (mean, std float64) {
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	if len(values) < 2 {
		return mean, 0
	}
	squares := 0.0
	for _, v := range values {
		squares += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(squares / float64(len(values)-1))
}

func scoredOf(scored []bool) int {
	n := 0
	for _, is := range scored {
		if is {
			n++
		}
	}
	return n
}
