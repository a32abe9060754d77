package rl

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
)

// metrics are a step's. Of several updates they are the mean; minima and maxima
// are the extremes, the learning rate is the last, those of sampling are of the
// first, whose weights are those of the rollout, and loads are summed. Those of
// updates are absent where nothing was in the loss.
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

// rewardKL is the mean of log π_old/π_ref over the tokens of a rollout.
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

// enter adds an update's metrics to a step's; share is its part in means.
func (u update) enter(m train.Metrics, o Objective, first bool, share float64) {
	v := m.Values
	for name, x := range u.Values {
		switch name {
		case train.MetricNumTokens: // counts the tokens trained on, not those read and written
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

// Thresholds are what sets off an alarm. A zero field means the default it
// names, a negative one no alarm; NaN is refused.
type Thresholds struct {
	MinEntropy   float64 // entropy below this, in nats; 0 means 0.01
	MaxTruncated float64 // completions/clipped_ratio above this; 0 means 0.5
	MaxClipRatio float64 // clip_ratio/region_mean above this; 0 means 0.2
	MaxKL        float64 // kl above this; 0 means 1
}

// check says what looks wrong in a step.
func (t Thresholds) check(m map[string]float64, s *reward.Scores) []string {
	var alarms []string
	limit := func(metric string, bound, sign float64, text string) {
		v, ok := m[metric]
		if ok && bound > 0 && !(sign*v <= sign*bound) { // NaN is an alarm
			alarms = append(alarms, fmt.Sprintf("%s: %s is %.4g, the limit is %.4g", text, metric, v, bound))
		}
	}
	limit(MetricEntropy, cmp.Or(t.MinEntropy, 0.01), -1, "the entropy collapsed")
	limit(MetricTruncated, cmp.Or(t.MaxTruncated, 0.5), 1, "many completions are truncated")
	limit(MetricClipRegionMean, cmp.Or(t.MaxClipRatio, 0.2), 1, "many tokens are clipped")
	limit(MetricKL, cmp.Or(t.MaxKL, 1), 1, "the policy is far from the reference")
	if m[MetricRewardZeroStd] == 1 {
		alarms = append(alarms, "all groups are dead: "+MetricRewardZeroStd+" is 1, the step teaches nothing")
	}
	if n, first := failures(s); n > 0 {
		alarms = append(alarms, fmt.Sprintf("%d of %d rewards failed, the first with: %v", n, len(s.Totals), first))
	}
	return alarms
}

// failures counts the samples whose reward failed, and gives the first reason.
func failures(s *reward.Scores) (n int, first error) {
	for _, v := range s.Totals {
		if v.Status == reward.Timeout || v.Status == reward.Error {
			if n == 0 {
				first = v.Err
			}
			n++
		}
	}
	return n, first
}
