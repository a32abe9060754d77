package rl

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/rl/reward"
)

// Scaling says what a centred reward is divided by. An empty Scaling means ScaleGroup
// for EstimatorGRPO, ScaleNone for EstimatorRLOO.
type Scaling string

const (
	// ScaleGroup divides by the standard deviation of the group: GRPO.
	ScaleGroup Scaling = "group"
	// ScaleBatch divides by the standard deviation of all rewards of the batch.
	ScaleBatch Scaling = "batch"
	// ScaleNone does not divide: Dr.GRPO (arXiv 2503.20783), where a question
	// does not weigh more for being nearly always or nearly never solved.
	ScaleNone Scaling = "none"
)

// Advantages are the advantages of a batch of completions, G for each prompt,
// sample g of prompt p at p·G + g.
type Advantages struct {
	// Value is the advantage of each sample, from its reward and those of its
	// group, under EstimatorReinforcePlusPlus of the first token. It is 0 for
	// samples without a reward and, of estimators by groups, in groups without spread.
	Value []float64
	// Token is the advantage of each token of each sample, as Objective.Loss reads
	// it: in a Rollout Value of the sample for all, or what the Estimator says of
	// tokens, or GRPO.Critic, or GRPO.Advantages.
	// GroupAdvantages, which knows no tokens, leaves it nil.
	Token [][]float64
	// Scored tells which samples have a reward: those whose verdict is
	// NotApplicable, Timeout or Error have none, count nowhere, and stay out of
	// the loss.
	Scored []bool
	// Mean and Std are the mean and the standard deviation (n−1) of the scored
	// rewards of each group; 0 with no and with fewer than two of them.
	Mean, Std []float64
	// ZeroStd tells which groups teach nothing: all of their rewards are equal,
	// or fewer than two were scored. Under EstimatorReinforcePlusPlus, which knows
	// no groups, all or none do.
	ZeroStd []bool
}

// GroupAdvantages computes the advantages of outcome supervision (arXiv
// 2402.03300 §4.1.2) from the rewards of groups of g consecutive samples:
//
//	A_i = (r_i − mean(r)) / (std(r) + eps)
//
// with the mean of the group, and the unbiased (n−1) standard deviation of the
// group or of the batch, or without division. eps 0 means 1e-4, TRL's; verl has
// 1e-6. It panics unless g divides the number of rewards and scaling is known.
func GroupAdvantages(totals []reward.Verdict, g int, scaling Scaling, eps float64) Advantages {
	if g < 1 || len(totals)%g != 0 {
		panic(fmt.Sprintf("rl: GroupAdvantages: %d rewards in groups of %d", len(totals), g))
	}
	if eps == 0 {
		eps = 1e-4
	}
	a := groupSpread(totals, g)
	_, _, batchStd, _ := spread(totals)
	for p := range a.ZeroStd {
		if a.ZeroStd[p] { // the mean is rounded: r − mean need not be 0
			continue
		}
		var scale float64
		switch scaling {
		case ScaleGroup, "":
			scale = a.Std[p] + eps
		case ScaleBatch:
			scale = batchStd + eps
		case ScaleNone:
			scale = 1
		default:
			panic(fmt.Sprintf("rl: GroupAdvantages: scaling %q", scaling))
		}
		for i := p * g; i < (p+1)*g; i++ {
			if a.Scored[i] {
				a.Value[i] = (totals[i].Value - a.Mean[p]) / scale
			}
		}
	}
	return a
}

// groupSpread is the mean and the deviation of each group of g rewards, without
// advantages yet.
func groupSpread(totals []reward.Verdict, g int) Advantages {
	groups := len(totals) / g
	a := Advantages{
		Value: make([]float64, len(totals)), Scored: make([]bool, len(totals)),
		Mean: make([]float64, groups), Std: make([]float64, groups), ZeroStd: make([]bool, groups),
	}
	for i, v := range totals {
		a.Scored[i] = v.Status.Scored()
	}
	for p := range groups {
		_, a.Mean[p], a.Std[p], a.ZeroStd[p] = spread(totals[p*g : (p+1)*g])
	}
	return a
}

// spread is the number of the scored values, their mean and unbiased standard
// deviation, and whether they are all equal.
func spread(verdicts []reward.Verdict) (n, mean, std float64, equal bool) {
	sum := 0.0
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range verdicts {
		if v.Status.Scored() {
			n++
			sum += v.Value
			lo, hi = min(lo, v.Value), max(hi, v.Value)
		}
	}
	if n == 0 {
		return 0, 0, 0, true
	}
	mean = sum / n
	if lo == hi {
		return n, mean, 0, true
	}
	squares := 0.0
	for _, v := range verdicts {
		if v.Status.Scored() {
			squares += float64((v.Value - mean) * (v.Value - mean))
		}
	}
	return n, mean, math.Sqrt(squares / (n - 1)), false
}

// ZeroStdShare is the share of groups without spread: frac_reward_zero_std.
func (a Advantages) ZeroStdShare() float64 {
	n := 0
	for _, zero := range a.ZeroStd {
		if zero {
			n++
		}
	}
	return float64(n) / float64(len(a.ZeroStd))
}
