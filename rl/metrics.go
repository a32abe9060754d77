package rl

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
)

// metrics are a step's, under TRL's names. Of several updates they are the
// mean; clip_ratio/low_min, high_max and the limits of ratio/… are the extremes,
// learning_rate is the last, sampling/… are of the first, whose weights are
// those of the rollout, and loads are summed. They are absent where nothing was
// in the loss. approx_kl is k3 between π_old and π_θ, kl between π_θ and π_ref.
func (g *GRPO) metrics(r *Rollout, all []update) train.Metrics {
	m := train.Metrics{Step: g.step, Values: lengthMetrics(r.Samples), Loads: map[string][]int{}}
	maps.Copy(m.Values, r.Scores.Metrics())
	m.Values["num_tokens"] = float64(g.numTokens)
	m.Values["frac_reward_zero_std"] = r.Advantages.ZeroStdShare()
	if mean, std, ok := r.Advantages.average(); ok {
		m.Values["reward"], m.Values["reward_std"] = mean, std
	}
	for i, u := range all {
		u.enter(m, i == 0, 1/float64(len(all)))
	}
	return m
}

// average is the mean over the groups with a scored sample of their means and
// standard deviations.
func (a Advantages) average() (mean, std float64, ok bool) {
	n, size := 0.0, len(a.Scored)/len(a.Mean)
	for p := range a.Mean {
		for _, scored := range a.Scored[p*size : (p+1)*size] {
			if scored {
				n, mean, std = n+1, mean+a.Mean[p], std+a.Std[p]
				break
			}
		}
	}
	return mean / n, std / n, n > 0
}

// enter adds an update's metrics to a step's; share is its part in means.
func (u update) enter(m train.Metrics, first bool, share float64) {
	v := m.Values
	for name, x := range u.Values {
		switch name {
		case "num_tokens": // counts the tokens trained on, not those read and written
		case "learning_rate":
			v[name] = x
		default:
			v[name] += x * share
		}
	}
	for name, load := range u.Loads {
		sum := m.Loads[name]
		if sum == nil {
			sum = make([]int, len(load))
			m.Loads[name] = sum
		}
		for i, n := range load {
			sum[i] += n
		}
	}
	low, high := u.low/u.n, u.high/u.n
	if first {
		v["sampling/sampling_logp_difference/mean"] = u.difference.sum / u.n
		v["sampling/sampling_logp_difference/max"] = u.difference.max
		v["sampling/importance_sampling_ratio/min"] = u.ratio.min
		v["sampling/importance_sampling_ratio/mean"] = u.ratio.sum / u.n
		v["sampling/importance_sampling_ratio/max"] = u.ratio.max
		v["clip_ratio/low_min"], v["clip_ratio/high_max"] = low, high
		v["ratio/min"], v["ratio/max"] = u.ratio.min, u.ratio.max
	}
	v["clip_ratio/low_min"] = min(v["clip_ratio/low_min"], low)
	v["clip_ratio/high_max"] = max(v["clip_ratio/high_max"], high)
	v["ratio/min"] = min(v["ratio/min"], u.ratio.min)
	v["ratio/max"] = max(v["ratio/max"], u.ratio.max)
	v["clip_ratio/low_mean"] += low * share
	v["clip_ratio/high_mean"] += high * share
	v["clip_ratio/region_mean"] += (low + high) * share
	v["ratio/mean"] += u.ratio.sum / u.n * share
	v["approx_kl"] += u.approxKL / u.n * share
	v["entropy"] += u.entropy / u.n * share
	v["policy_loss"] += u.policyLoss * share
	if u.hasReference {
		v["kl"] += u.kl / u.n * share
	}
}

// Thresholds are what sets off an alarm. A zero field means the default it
// names, a negative one no alarm.
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
	limit("entropy", cmp.Or(t.MinEntropy, 0.01), -1, "the entropy collapsed")
	limit("completions/clipped_ratio", cmp.Or(t.MaxTruncated, 0.5), 1, "many completions are truncated")
	limit("clip_ratio/region_mean", cmp.Or(t.MaxClipRatio, 0.2), 1, "many tokens are clipped")
	limit("kl", cmp.Or(t.MaxKL, 1), 1, "the policy is far from the reference")
	if m["frac_reward_zero_std"] == 1 {
		alarms = append(alarms, "all groups are dead: frac_reward_zero_std is 1, the step teaches nothing")
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
