package rl

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/rl/rollout"
)

// validate reports the first invalid field.
func (g *GRPO) validate() error {
	switch {
	case g.Trainer == nil || g.Trainer.Model == nil:
		return errors.New("GRPO.Trainer or its Model is nil")
	case g.Sampler == nil || g.Data == nil || g.Reward == nil:
		return errors.New("GRPO.Sampler, GRPO.Data or GRPO.Reward is nil")
	case g.G < 0 || g.G == 1 && g.Critic == nil && g.Estimator != EstimatorReinforcePlusPlus:
		return fmt.Errorf("GRPO.G is %d, want at least 2, or at least 1 with a Critic or Estimator %s", g.G,
			EstimatorReinforcePlusPlus)
	case g.RefSync > 0 && g.Objective.Beta == 0 && g.RewardKL == 0:
		return errors.New("GRPO.RefSync is set without Objective.Beta or RewardKL: there is no reference model to update")
	case g.RefMix != 0 && g.RefSync == 0:
		return errors.New("GRPO.RefMix is set without GRPO.RefSync: the reference model is never updated")
	case g.RefSync > 0 && slices.ContainsFunc(g.Trainer.Model.Params.All(), isAdapter):
		return errors.New("GRPO.RefSync is set and the model has adapters: the reference model is the base model")
	}
	if err := cmp.Or(
		count("Steps", g.Steps), count("NumIterations", g.NumIterations), count("MiniBatches", g.MiniBatches),
		count("RefSync", g.RefSync), count("DynamicSampling", g.DynamicSampling), count("LogGroups", g.LogGroups),
		number("StdEps", g.StdEps, 0, math.MaxFloat64), number("RewardKL", g.RewardKL, 0, math.MaxFloat64),
		number("RefMix", g.RefMix, 0, 1),
		g.Objective.validate(), g.Alarms.validate(), g.Scaling.validate(), g.LossType.validate(),
		oneOf("Estimator", g.Estimator, EstimatorGRPO, EstimatorRLOO, EstimatorReinforcePlusPlus,
			EstimatorReinforcePlusPlusBaseline),
		oneOf("Aggregation", g.Aggregation, SumThenNormalize, NormalizeThenSum),
		g.fits(), g.fitsDynamicSampling(), g.OffPolicy.validate(), g.validateCritic(),
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
		return errors.New("GRPO.Sampler generates with another model than GRPO.Trainer.Model: " +
			"the rollouts would not be those of the trained model")
	case p.Sampling.Greedy:
		return errors.New("GRPO.Sampler is greedy: all completions of a group would be the same")
	}
	return g.validateRouting()
}

// validate reports the first invalid field.
func (d *DPO) validate() error {
	switch {
	case d.Trainer == nil || d.Trainer.Model == nil:
		return errors.New("DPO.Trainer or its Model is nil")
	case d.Trainer.Drafter != nil:
		return errors.New("DPO.Trainer.Drafter is set: its loss would be trained on rejected completions too")
	case len(d.Pairs) == 0:
		return errors.New("DPO.Pairs is empty")
	case d.RefMix != 0 && d.RefSync == 0:
		return errors.New("DPO.RefMix is set without DPO.RefSync: the reference model is never updated")
	case d.RefSync > 0 && d.Precompute:
		return errors.New("DPO.RefSync is set with DPO.Precompute: precomputed log-probabilities are not updated")
	case d.RefSync > 0 && slices.ContainsFunc(d.Trainer.Model.Params.All(), isAdapter):
		return errors.New("DPO.RefSync is set and the model has adapters: the reference model is the base model")
	case d.LabelSmoothing != 0 && !d.Loss.smooths():
		return fmt.Errorf("DPO.LabelSmoothing is %g: DPO.Loss %s does not use it", d.LabelSmoothing, d.Loss)
	}
	if err := cmp.Or(
		count("Steps", d.Steps), count("Batch", d.Batch), count("RefSync", d.RefSync),
		number("Beta", d.Beta, 0, math.MaxFloat64), number("RefMix", d.RefMix, 0, 1),
		number("LabelSmoothing", d.LabelSmoothing, 0, math.Nextafter(0.5, 0)), d.Loss.validate(),
	); err != nil {
		return fmt.Errorf("DPO.%w", err)
	}
	return nil
}

// validatePairs reports the first pair that the model cannot be trained or evaluated on.
func (d *DPO) validatePairs() error {
	c := d.Trainer.Model.Config
	for _, list := range []struct {
		name  string
		pairs []Pair
	}{{"DPO.Pairs", d.Pairs}, {"DPO.Held", d.Held}} {
		for i, p := range list.pairs {
			if err := p.validate(c.VocabSize, c.MaxPositionEmbeddings); err != nil {
				return fmt.Errorf("%s[%d].%w", list.name, i, err)
			}
			if p.Margin != 0 {
				return fmt.Errorf("%s[%d].Margin is %g: DPO does not use it", list.name, i, p.Margin)
			}
		}
	}
	return nil
}

func (p Pair) validate(vocab, longest int) error {
	for _, part := range []struct {
		name string
		ids  []int32
	}{{"Prompt", p.Prompt}, {"Chosen", p.Chosen}, {"Rejected", p.Rejected}} {
		if len(part.ids) == 0 {
			return fmt.Errorf("%s is empty", part.name)
		}
		for i, id := range part.ids {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("%s: token %d is %d, vocab_size is %d", part.name, i, id, vocab)
			}
		}
		if n := len(p.Prompt) + len(part.ids) - 1; part.name != "Prompt" && n > longest {
			return fmt.Errorf("%s has %d rows with its prompt, max_position_embeddings is %d", part.name, n, longest)
		}
	}
	if slices.Equal(p.Chosen, p.Rejected) {
		return errors.New("Chosen and Rejected are the same")
	}
	return number("Weight", p.Weight, 0, math.MaxFloat64)
}

func (l PreferenceLoss) validate() error {
	return oneOf("Loss", l, PreferenceSigmoid, PreferenceRobust, PreferenceIPO, PreferenceSigmoidNorm)
}

func (s Scaling) validate() error {
	return oneOf("Scaling", s, ScaleGroup, ScaleBatch, ScaleNone)
}

func (l LossType) validate() error {
	return oneOf("LossType", l, LossDAPO, LossGRPO, LossDrGRPO, LossBNPO, LossLUSPO)
}

// oneOf reports an error unless v is empty or one of the known values.
func oneOf[T ~string](name string, v T, known ...T) error {
	if v == "" || slices.Contains(known, v) {
		return nil
	}
	var want strings.Builder
	for i, k := range known {
		switch {
		case i == len(known)-1:
			want.WriteString(" or ")
		case i > 0:
			want.WriteString(", ")
		}
		want.WriteString(string(k))
	}
	return fmt.Errorf("%s is %q, want %s", name, string(v), want.String())
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

// count reports an error if n is negative.
func count(name string, n int) error {
	if n < 0 {
		return fmt.Errorf("%s is %d, want 0 or more", name, n)
	}
	return nil
}

// number reports an error unless least ≤ v ≤ most; NaN is an error. A bound of
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
