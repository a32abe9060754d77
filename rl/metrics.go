package rl

import (
	"maps"
	"math"

	"github.com/aha-go/aha/model/train"
)

// metrics returns the metrics of a step. Metrics of several updates are averaged, with
// these exceptions: minima and maxima are the extremes, the learning rate is that of the
// last update, sampling/… and moe/router_mismatch are those of the first update, whose
// weights are the rollout's, and loads are summed. If no sample was in the loss, there are
// no metrics of updates.
func (g *GRPO) metrics(r *Rollout, all []update, critic []criticUpdate) train.Metrics {
	m := train.Metrics{Step: g.step, Values: lengthMetrics(r.Samples), Loads: map[string][]int{}}
	maps.Copy(m.Values, r.Scores.Metrics())
	m.Values[train.MetricNumTokens] = float64(g.numTokens)
	if g.Critic == nil {
		m.Values[MetricRewardZeroStd] = r.Advantages.ZeroStdShare()
	}
	if g.DynamicSampling > 0 {
		r.enterRounds(m.Values)
	}
	if n, mean, std, _ := spread(r.Rewards); n > 0 {
		m.Values[MetricReward], m.Values[MetricRewardStd] = mean, std
	}
	if c, ok := r.lengthCorrelation(); ok {
		m.Values[MetricLengthCorrelation] = c
	}
	if g.RewardKL != 0 {
		m.Values[MetricKL] = r.rewardKL()
	}
	for i, u := range all {
		share := 1 / float64(len(all))
		u.enter(m, g.Objective, i == 0, share)
		if g.OffPolicy.MaskThreshold != 0 {
			m.Values[MetricOffPolicyMasked] += float64(u.masked) / u.n * share
		}
	}
	switch {
	case r.sampling.n > 0:
		r.sampling.enterSampling(m.Values)
	case len(all) > 0:
		all[0].enterSampling(m.Values)
	}
	if g.Critic != nil {
		r.enterCritic(m, critic)
	}
	return m
}

// lengthCorrelation returns Pearson's correlation between the rewards of a rollout and the
// lengths of its completions. It subtracts the mean of each group from both, so that
// differences between prompts, such as long answers to hard ones, do not count. ok is false
// if no group has different rewards, or none has different lengths.
func (r *Rollout) lengthCorrelation() (c float64, ok bool) {
	groups := map[int][]int{}
	for i, v := range r.Rewards {
		if p := r.Samples[i].Prompt; v.Status.Scored() {
			groups[p] = append(groups[p], i)
		}
	}
	var xx, yy, xy float64
	for p := range r.Prompts {
		group := groups[p]
		var x, y float64
		for _, i := range group {
			x, y = x+r.Rewards[i].Value, y+float64(len(r.Samples[i].IDs))
		}
		n := float64(len(group))
		for _, i := range group {
			dx, dy := r.Rewards[i].Value-x/n, float64(len(r.Samples[i].IDs))-y/n
			xx, yy, xy = xx+float64(dx*dx), yy+float64(dy*dy), xy+float64(dx*dy)
		}
	}
	if xx == 0 || yy == 0 {
		return 0, false
	}
	return xy / math.Sqrt(xx*yy), true
}

// rewardKL returns the mean of log π_old/π_ref over the tokens of a rollout.
func (r *Rollout) rewardKL() float64 {
	n, sum := 0.0, 0.0
	for i, refs := range r.RefLogProbs {
		for t, ref := range refs {
			n++
			sum += r.Samples[i].LogProbs[t] - ref
		}
	}
	return sum / n
}

// enter adds the metrics of an update to the metrics of its step. share is the weight of
// the update in means.
func (u update) enter(m train.Metrics, o Objective, first bool, share float64) {
	v := m.Values
	for name, x := range u.Values {
		switch name {
		case train.MetricNumTokens: // the Trainer's count has only tokens in the loss
		case train.MetricLearningRate:
			v[name] = x
		default:
			v[name] += x * share
		}
	}
	for name, load := range u.Loads {
		addLoad(m.Loads, name, load)
	}
	u.clip.enter(v, o, first, share)
	if first {
		u.routing.enter(v)
		v[MetricRatioMin], v[MetricRatioMax] = u.ratio.min, u.ratio.max
	}
	v[MetricRatioMin] = min(v[MetricRatioMin], u.ratio.min)
	v[MetricRatioMax] = max(v[MetricRatioMax], u.ratio.max)
	v[MetricRatioMean] += u.ratio.sum / u.n * share
	v[MetricApproxKL] += u.approxKL / u.n * share
	v[MetricEntropy] += u.entropy / u.n * share
	v[MetricPolicyLoss] += u.policyLoss * share
	if u.hasReference {
		v[MetricKL] += u.kl / u.n * share
	}
}

// addLoad adds the load of an update's experts to that of a step.
func addLoad(loads map[string][]int, name string, load []int) {
	sum := loads[name]
	if sum == nil {
		sum = make([]int, len(load))
		loads[name] = sum
	}
	for i, n := range load {
		sum[i] += n
	}
}
