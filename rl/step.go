package rl

import (
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

// Rollout is what a step learns from.
type Rollout struct {
	Step       int // steps made before
	Version    int // optimizer updates behind the weights that wrote it
	Prompts    []Prompt
	Samples    []Sample // sample g of prompt p at p·G + g
	Scores     *reward.Scores
	Advantages Advantages
}

// rollout makes the rollout of the current step, rewarded and with advantages.
func (g *GRPO) rollout(ctx context.Context) (*Rollout, error) {
	prompts, err := g.prompts()
	if err != nil {
		return nil, err
	}
	r := &Rollout{Step: g.step, Version: g.Trainer.StepCount(), Prompts: prompts}
	if r.Samples, err = g.Sampler.Sample(ctx, g.seed("rollout"), g.groupSize(), prompts); err != nil {
		return nil, err
	}
	if r.Scores, err = g.score(ctx, r); err != nil {
		return nil, err
	}
	for i := range r.Samples {
		r.Samples[i].Reward = r.Scores.Totals[i]
	}
	if g.Shuffle {
		shuffle(r.Samples, g.seed("shuffle"))
	}
	g.judge(r)
	return r, nil
}

func (g *GRPO) prompts() ([]Prompt, error) {
	prompts, err := g.Data(g.step)
	if err == nil && len(prompts) == 0 {
		err = errors.New("there are none")
	}
	if err == nil {
		err = g.Sampler.fits(prompts)
	}
	if err != nil {
		return nil, fmt.Errorf("rl: prompts of step %d: %w", g.step, err)
	}
	return prompts, nil
}

// score judges the samples, or repeats what the log says of a step that an
// interrupted run had made already.
func (g *GRPO) score(ctx context.Context, r *Rollout) (*reward.Scores, error) {
	logged, err := g.verdicts.of(r)
	if err != nil {
		return nil, err
	}
	if logged != nil {
		return g.Reward.Replay(logged, len(r.Samples))
	}
	scores, err := g.Reward.Score(ctx, rewardSamples(r.Prompts, r.Samples))
	if err != nil {
		return nil, err
	}
	return scores, g.verdicts.write(r, scores)
}

// judge sets the advantages and decides what is in the loss.
func (g *GRPO) judge(r *Rollout) {
	r.Advantages = GroupAdvantages(r.totals(), g.groupSize(), g.Scaling, g.StdEps)
	for i := range r.Samples {
		s := &r.Samples[i]
		s.Advantage = r.Advantages.Value[i]
		s.InLoss = g.keeps(r, i) && !(g.MaskTruncated && s.Finish == model.Truncated)
	}
}

// totals are the rewards of the samples.
func (r *Rollout) totals() []reward.Verdict {
	totals := make([]reward.Verdict, len(r.Samples))
	for i, s := range r.Samples {
		totals[i] = s.Reward
	}
	return totals
}

// keeps reports whether sample i has a reward and is in a group that is not
// skipped.
func (g *GRPO) keeps(r *Rollout, i int) bool {
	return r.Advantages.Scored[i] && !(g.SkipZeroStd && r.Advantages.ZeroStd[r.Samples[i].Prompt])
}

// kept counts the samples that keeps accepts.
func (g *GRPO) kept(r *Rollout) int {
	n := 0
	for i := range r.Samples {
		if g.keeps(r, i) {
			n++
		}
	}
	return n
}
