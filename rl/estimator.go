package rl

import (
	"cmp"
	"math"
	"slices"

	"github.com/aha-go/aha/rl/reward"
)

// Estimator says how advantages come from rewards. The names are those of verl's
// adv_estimator.
type Estimator string

const (
	// EstimatorGRPO compares a reward with the mean of its group, see
	// GroupAdvantages, and each step's reward with all those of the group. It is what
	// the empty Estimator means.
	EstimatorGRPO Estimator = "grpo"
	// EstimatorRLOO compares a reward with the mean of the others of its group (arXiv
	// 2402.14740). With ScaleBatch the advantages are centred and divided by their
	// standard deviation over the batch: TRL's normalize_advantages.
	EstimatorRLOO Estimator = "rloo"
	// EstimatorReinforcePlusPlus has for each token the sum of the rewards from it
	// on, whitened over the tokens of the batch (arXiv 2501.03262, γ = 1). It knows no
	// groups: G may be 1.
	EstimatorReinforcePlusPlus Estimator = "reinforce_plus_plus"
	// EstimatorReinforcePlusPlusBaseline compares a reward with the mean of its group
	// and whitens over the tokens of the batch.
	EstimatorReinforcePlusPlusBaseline Estimator = "reinforce_plus_plus_baseline"
)

// whitens reports whether the advantages are whitened over tokens, by no Scaling.
func (e Estimator) whitens() bool {
	return e == EstimatorReinforcePlusPlus || e == EstimatorReinforcePlusPlusBaseline
}

// scaling is what an empty Scaling means.
func (e Estimator) scaling() Scaling {
	if e == EstimatorRLOO {
		return ScaleNone
	}
	return ScaleGroup
}

// estimate computes the advantages of a rollout, of its samples and of their tokens.
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
		alone := slices.Clone(a.Scored) // without those that had no other reward to compare with
		for i := range alone {
			alone[i] = alone[i] && scoredOf(a.Scored[i/n*n:i/n*n+n]) > 1
		}
		whiten(a.Token, alone)
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

// forTokens gives all tokens of a sample its advantage.
func (a Advantages) forTokens(r *Rollout) Advantages {
	a.Token = make([][]float64, len(r.Samples))
	for i, s := range r.Samples {
		a.Token[i] = slices.Repeat(a.Value[i:i+1], len(s.IDs))
	}
	return a
}

// leaveOneOut compares each reward with the mean of the others of its group of g.
func leaveOneOut(totals []reward.Verdict, g int, scaling Scaling, eps float64) Advantages {
	a := groupSpread(totals, g)
	var compared []float64 // advantages of samples that had another reward to compare with
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

// sampleRewards are the rewards of estimators that work on samples: that of a sample,
// with those of its steps where the estimator does not take these one by one, less
// RewardKL times log π_old/π_ref of its tokens.
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

// tokenRewards are the rewards of estimators that work on tokens, [samples][tokens]:
// that of a sample at its last token, those of its steps where they end, less RewardKL
// times log π_old/π_ref of each token. They are 0 for samples without a reward.
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

// toGo turns rewards of tokens into their sums from each token on, in place.
func toGo(rewards [][]float64) [][]float64 {
	for _, x := range rewards {
		for t := len(x) - 2; t >= 0; t-- {
			x[t] += x[t+1]
		}
	}
	return rewards
}

// whiten centres and scales the tokens of the samples in use to mean 0 and standard
// deviation 1 over all of them, as verl's masked_whiten does, and sets those of the
// others to 0. Tokens that are all equal become 0, and equal is true.
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

// meanStd is the mean and the unbiased standard deviation of values, which is 0 of one.
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
