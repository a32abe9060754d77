package rl

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/rl/rollout"
)

// validate refuses fields that no run could mean, by their names.
func (g *GRPO) validate() error {
	switch {
	case g.Trainer == nil || g.Trainer.Model == nil:
		return errors.New("GRPO.Trainer or its Model is nil")
	case g.Sampler == nil || g.Data == nil || g.Reward == nil:
		return errors.New("GRPO.Sampler, GRPO.Data or GRPO.Reward is nil")
	case g.G < 0 || g.G == 1 && g.Critic == nil:
		return fmt.Errorf("GRPO.G is %d: a group needs at least two completions, but with a Critic", g.G)
	case g.RefSync > 0 && g.Objective.Beta == 0:
		return errors.New("GRPO.RefSync is set without Objective.Beta: there is no reference model to refresh")
	case g.RefSync > 0 && slices.ContainsFunc(g.Trainer.Model.Params.All(), isAdapter):
		return errors.New("GRPO.RefSync is set and the model has adapters: the reference model is the base model")
	}
	if err := cmp.Or(
		count("Steps", g.Steps), count("NumIterations", g.NumIterations), count("MiniBatches", g.MiniBatches),
		count("RefSync", g.RefSync), number("StdEps", g.StdEps, 0, math.MaxFloat64),
		g.Objective.validate(), g.Alarms.validate(), g.Scaling.validate(), g.LossType.validate(),
		g.validateCritic(),
	); err != nil {
		return fmt.Errorf("GRPO.%w", err)
	}
	if err := g.Reward.Validate(); err != nil {
		return fmt.Errorf("GRPO.Reward: %w", err)
	}
	if err := g.Sampler.Check(nil); err != nil {
		return fmt.Errorf("GRPO.Sampler: %w", err)
	}
	switch p := g.Sampler.Policy(); {
	case p.Model != g.Trainer.Model:
		return errors.New("GRPO.Sampler is of another model than GRPO.Trainer.Model: " +
			"the rollouts would not be those of the model that is trained")
	case p.Sampling.Greedy:
		return errors.New("GRPO.Sampler is greedy: all completions of a group would be the same")
	}
	return nil
}

func (o Objective) validate() error {
	return cmp.Or(
		number("Objective.EpsilonLow", o.EpsilonLow, 0, 1),
		number("Objective.EpsilonHigh", o.EpsilonHigh, 0, math.MaxFloat64),
		number("Objective.Beta", o.Beta, 0, math.MaxFloat64),
		number("Objective.EntropyCoef", o.EntropyCoef, -math.MaxFloat64, math.MaxFloat64),
	)
}

func (t Thresholds) validate() error {
	bound := func(name string, v float64) error {
		if math.IsNaN(v) {
			return fmt.Errorf("Alarms.%s is NaN, want a number", name)
		}
		return nil
	}
	return cmp.Or(
		bound("MinEntropy", t.MinEntropy), bound("MaxTruncated", t.MaxTruncated),
		bound("MaxClipRatio", t.MaxClipRatio), bound("MaxKL", t.MaxKL),
	)
}

func (s Scaling) validate() error {
	switch s {
	case "", ScaleGroup, ScaleBatch, ScaleNone:
		return nil
	}
	return fmt.Errorf("Scaling is %q, want group, batch or none", s)
}

func (l LossType) validate() error {
	switch l {
	case LossDAPO, LossGRPO, LossDrGRPO, LossBNPO, "":
		return nil
	}
	return fmt.Errorf("LossType is %q, want dapo, grpo, dr_grpo or bnpo", l)
}

func (e *Evaluation) validate(prompts []rollout.Prompt) error {
	if err := cmp.Or(count("N", e.N), count("Chunk", e.Chunk)); err != nil {
		return fmt.Errorf("rl: Evaluation.%w", err)
	}
	if e.Sampler == nil {
		return errors.New("rl: Evaluation.Sampler is nil")
	}
	if err := e.Sampler.Check(prompts); err != nil {
		return fmt.Errorf("rl: Evaluation.Sampler: %w", err)
	}
	for i, k := range e.K {
		if n := cmp.Or(e.N, 1); k < 1 || k > n {
			return fmt.Errorf("rl: Evaluation.K[%d] is %d, want 1 to N, which is %d", i, k, n)
		}
	}
	if e.Reward == nil {
		return errors.New("rl: Evaluation.Reward is nil")
	}
	if err := e.Reward.Validate(); err != nil {
		return fmt.Errorf("rl: Evaluation.Reward: %w", err)
	}
	return nil
}

// count refuses a negative number of things.
func count(name string, n int) error {
	if n < 0 {
		return fmt.Errorf("%s is %d, want 0 or more", name, n)
	}
	return nil
}

// number refuses what is not within least and most, NaN included. As a bound,
// ±math.MaxFloat64 admits any finite number.
func number(name string, v, least, most float64) error {
	if v >= least && v <= most {
		return nil
	}
	want := fmt.Sprintf("%g to %g", least, most)
	switch {
	case least == -math.MaxFloat64:
		want = "a finite number"
	case most == math.MaxFloat64:
		want = fmt.Sprintf("a finite number from %g up", least)
	}
	return fmt.Errorf("%s is %g, want %s", name, v, want)
}

func isAdapter(p *tensor.Param) bool { return p.Kind == tensor.KindAdapter }
