package rl

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/rl/reward"
)

// Scaling selects the standard deviation that centred rewards are divided by. The empty
// Scaling means ScaleGroup for EstimatorGRPO and ScaleNone for EstimatorRLOO.
type Scaling string

const (
	// ScaleGroup divides by the standard deviation of the group: GRPO.
	ScaleGroup Scaling = "group"
	// ScaleBatch divides by the standard deviation of all rewards of the batch.
	ScaleBatch Scaling = "batch"
	// ScaleNone does not divide, as in Dr.GRPO (arXiv 2503.20783): a question that is
	// nearly always or nearly never solved gets no larger weight.
	ScaleNone Scaling = "none"
)

// Advantages holds the advantages of a batch of completions, G for each prompt.
// Sample g of prompt p has index p·G + g.
type Advantages struct {
	// Value is the advantage of each sample, computed from its reward and the rewards
	// of its group. EstimatorReinforcePlusPlus sets it to the advantage of the first
	// token. It is 0 for samples without a reward and, if the estimator compares within
	// groups, for groups whose rewards are all equal.
	Value []float64
	// Token is the advantage of each token of each sample, the input of Objective.Loss.
	// In a Rollout it is the sample's Value for all of its tokens, unless the Estimator,
	// GRPO.Critic or GRPO.Advantages computes an advantage for each token.
	// GroupAdvantages leaves it nil.
	Token [][]float64
	// Scored reports which samples have a reward. Samples whose verdict is
	// NotApplicable, Timeout or Error have none: no mean counts them, and they are not
	// in the loss.
	Scored []bool
	// Mean and Std are the mean and the standard deviation (n−1) of the scored rewards
	// of each group. Mean is 0 if there are none, Std is 0 if there are fewer than two.
	Mean, Std []float64
	// ZeroStd reports which groups have no learning signal: all of their rewards are
	// equal, or fewer than two are scored. EstimatorReinforcePlusPlus, which does not
	// use groups, sets it for all groups or for none.
	ZeroStd []bool
}

// GroupAdvantages computes the advantages of outcome supervision (arXiv
// 2402.03300 §4.1.2) from the rewards of groups of g consecutive samples:
//
//	A_i = (r_i − mean(r)) / (std(r) + eps)
//
// The mean is that of the group. The unbiased (n−1) standard deviation is that of the
// group or of the batch; with ScaleNone nothing is divided. If eps is 0, it is 1e-4 as
// in TRL; verl uses 1e-6. GroupAdvantages panics if g does not divide the number of
// rewards or scaling is unknown.
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
		if a.ZeroStd[p] { // the mean is rounded, so r − mean may not be exactly 0
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

// groupSpread computes Scored, Mean, Std and ZeroStd of groups of g rewards, and leaves
// all advantages at 0.
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

// spread returns the number of scored verdicts, the mean and the unbiased standard
// deviation of their values, and whether these are all equal.
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

// ZeroStdShare returns the share of groups whose rewards are all equal, the metric
// frac_reward_zero_std.
func (a Advantages) ZeroStdShare() float64 {
	n := 0
	for _, zero := range a.ZeroStd {
		if zero {
			n++
		}
	}
	return float64(n) / float64(len(a.ZeroStd))
}
