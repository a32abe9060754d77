package rl

import (
	"context"
	"fmt"
)

// resample adds rounds of further prompts to r, the first round of a step, until as many
// groups have a spread as r has groups, or DynamicSampling rounds are made. A group has a
// spread if its rewards are not all equal. Groups without a spread and surplus groups are
// dropped.
func (g *GRPO) resample(ctx context.Context, r *Rollout) error {
	want, have := len(r.Prompts), 0
	judge := func(x *Rollout) {
		for _, zero := range g.estimate(x).ZeroStd {
			drop := zero || have == want
			if !drop {
				have++
			}
			r.dropped = append(r.dropped, drop)
		}
	}
	for judge(r); have < want && r.Rounds < g.DynamicSampling; {
		x, err := g.round(ctx, r.Rounds)
		if err != nil {
			return err
		}
		judge(x)
		r.append(x)
	}
	if have == 0 {
		return fmt.Errorf("rl: step %d: no group has a spread: GRPO.DynamicSampling made %d rounds, %d groups in all",
			r.Step, r.Rounds, len(r.Prompts))
	}
	r.missing = want - have
	return nil
}

// append adds the groups of a further round.
func (r *Rollout) append(x *Rollout) {
	for _, from := range x.order {
		r.order = append(r.order, len(r.Samples)+from)
	}
	for _, s := range x.Samples {
		s.Prompt += len(r.Prompts)
		r.Samples = append(r.Samples, s)
	}
	r.Prompts = append(r.Prompts[:len(r.Prompts):len(r.Prompts)], x.Prompts...) // do not overwrite the caller's array
	r.Rewards, r.Steps = append(r.Rewards, x.Rewards...), append(r.Steps, x.Steps...)
	r.Scores.Append(x.Scores)
	r.Rounds++
}

// estimateKept recomputes the advantages from the groups that are not dropped, and sets
// those of dropped groups to 0.
func (g *GRPO) estimateKept(r *Rollout) {
	kept, at := Rollout{Scores: r.Scores}, []int(nil)
	for i, s := range r.Samples {
		if r.dropped[s.Prompt] {
			r.Advantages.Value[i] = 0
			clear(r.Advantages.Token[i])
			continue
		}
		at = append(at, i)
		kept.Samples, kept.Rewards = append(kept.Samples, s), append(kept.Rewards, r.Rewards[i])
		kept.order = append(kept.order, r.judged(i))
		if r.Steps != nil {
			kept.Steps = append(kept.Steps, r.Steps[i])
		}
		if r.RefLogProbs != nil {
			kept.RefLogProbs = append(kept.RefLogProbs, r.RefLogProbs[i])
		}
	}
	a := g.estimate(&kept)
	for k, i := range at {
		r.Advantages.Value[i], r.Advantages.Token[i] = a.Value[k], a.Token[k]
	}
}

// drops reports whether DynamicSampling has dropped the group of sample i.
func (r *Rollout) drops(i int) bool { return r.dropped != nil && r.dropped[r.Samples[i].Prompt] }

// size counts the samples of groups that are not dropped.
func (r *Rollout) size() int {
	n := 0
	for i := range r.Samples {
		if !r.drops(i) {
			n++
		}
	}
	return n
}

// enterRounds adds the metrics of DynamicSampling to those of a step.
func (r *Rollout) enterRounds(v map[string]float64) {
	n := 0
	for _, drop := range r.dropped {
		if drop {
			n++
		}
	}
	v[MetricGenBatches] = float64(r.Rounds)
	v[MetricDroppedGroups] = float64(n) / float64(len(r.dropped))
}

// shortage returns the text of the alarm that DynamicSampling reached its limit of rounds
// with too few groups, or "".
func (r *Rollout) shortage() string {
	if r.missing == 0 {
		return ""
	}
	return fmt.Sprintf("dynamic sampling: %d groups with a spread are missing after %d rounds, "+
		"the step learns from the others", r.missing, r.Rounds)
}

// fitsDynamicSampling reports fields that cannot be combined with DynamicSampling.
func (g *GRPO) fitsDynamicSampling() error {
	switch {
	case g.DynamicSampling == 0:
		return nil
	case g.Critic != nil:
		return fmt.Errorf("DynamicSampling is %d with Critic, whose advantages do not use groups", g.DynamicSampling)
	case g.Estimator == EstimatorReinforcePlusPlus:
		return fmt.Errorf("DynamicSampling is %d with Estimator %s, which does not use groups", g.DynamicSampling,
			g.Estimator)
	case g.SkipZeroStd:
		return fmt.Errorf("DynamicSampling is %d with SkipZeroStd: groups without spread are dropped anyway",
			g.DynamicSampling)
	}
	return nil
}
