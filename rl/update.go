package rl

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// update is one optimizer update of a step.
type update struct {
	train.Metrics
	tokenStats
	values valueStats // with a critic on the policy's trunk
}

// learn makes the updates of a rollout, of the policy and of the critic. Once begun it is not cancelled: a
// checkpoint is only good between two steps.
func (g *GRPO) learn(ctx context.Context, r *Rollout) (all []update, critic []criticUpdate, err error) {
	ctx = context.WithoutCancel(ctx)
	if v := g.Trainer.StepCount(); r.Version != v {
		return nil, nil, fmt.Errorf("rl: the rollout is of weights version %d, the model has %d", r.Version, v)
	}
	xs, err := g.experiences(r)
	if err != nil {
		return nil, nil, err
	}
	if g.OffPolicy.Correction != "" && len(xs) > 0 {
		if r.sampling, err = g.rescore(xs); err != nil {
			return nil, nil, err
		}
	}
	for iteration := range cmp.Or(g.NumIterations, 1) {
		split := split{
			parts: cmp.Or(g.MiniBatches, 1), rows: g.Trainer.MaxRows, seed: g.seed("mini-batches", iteration),
			loss: g.LossType, allSamples: r.size(), kept: g.kept(r), maxTokens: g.Sampler.Policy().MaxTokens,
		}
		for _, mini := range split.miniBatches(xs) {
			if g.Critic.own() {
				u, err := g.updateCritic(ctx, mini)
				if err != nil {
					return nil, nil, fmt.Errorf("rl: step %d: %w", g.step, err)
				}
				critic = append(critic, u)
			}
			if g.warming() {
				continue
			}
			u, err := g.update(ctx, mini, len(all) == 0)
			if err != nil {
				return nil, nil, fmt.Errorf("rl: step %d: %w", g.step, err)
			}
			all = append(all, u)
			if g.Critic.shared() {
				critic = append(critic, criticUpdate{valueStats: u.values})
			}
		}
	}
	return all, critic, nil
}

// experiences are the samples in the loss, scored by the reference model where
// there is one.
func (g *GRPO) experiences(r *Rollout) ([]experience, error) {
	var xs []experience
	for i := range r.Samples {
		if r.InLoss[i] {
			xs = append(xs, r.experience(i))
		}
	}
	if err := g.keep(xs); err != nil {
		return nil, err
	}
	if g.Objective.Beta == 0 {
		g.replay(xs)
		return xs, nil
	}
	ref, err := g.reference.logProbs(xs, g.Trainer.MaxRows, g.temperature())
	if err != nil {
		return nil, err
	}
	for i := range xs {
		xs[i].ref = ref[i]
	}
	g.replay(xs)
	return xs, nil
}

// referenceLogProbs scores all samples of a rollout under the reference model.
func (g *GRPO) referenceLogProbs(r *Rollout) ([][]float64, error) {
	xs := make([]experience, len(r.Samples))
	for i := range xs {
		s := &r.Samples[i]
		xs[i] = newExperience(r.Prompts[s.Prompt], s, nil)
	}
	if err := g.keep(xs); err != nil {
		return nil, err
	}
	return g.reference.logProbs(xs, g.Trainer.MaxRows, g.temperature())
}

// keep notes, where the policy draws from a part of the vocabulary, from which: the
// weights are still those of the rollout. All updates of the step, and the
// reference model, score the tokens within these parts (DeepSeek-V3.2, arXiv
// 2512.02556 §3.1: Keep Sampling Mask).
func (g *GRPO) keep(xs []experience) error {
	sampling := g.Sampler.Policy().Sampling
	if !sampling.Drops() {
		return nil
	}
	policy := cmp.Or(g.Sampler.Policy().Drawn, g.Trainer.Model)
	if err := keep(policy, xs, g.Trainer.MaxRows, sampling); err != nil {
		return fmt.Errorf("rl: step %d: the tokens that the sampler keeps: %w", g.step, err)
	}
	return nil
}

// rescore compares the log-probabilities of xs, which no update has changed yet, with those
// of the Trainer's model. Under OffPolicy.Correction these are π_old of the updates.
func (g *GRPO) rescore(xs []experience) (agreement, error) {
	var a agreement
	trained, err := logProbs(g.Trainer.Model, xs, g.Trainer.MaxRows, g.temperature())
	if err != nil {
		return a, fmt.Errorf("rl: step %d: log-probabilities of the rollout: %w", g.step, err)
	}
	if g.OffPolicy.Correction != "" {
		a = g.OffPolicy.correct(xs, trained)
	} else {
		for i, x := range xs {
			for j, old := range x.LogProbs {
				a.compare(trained[i][j], old)
			}
		}
	}
	if g.FailOnMismatch {
		err = a.mismatch()
	}
	return a, err
}

// compareAll compares a rollout that no update learns from, as the first update does
// otherwise.
func (g *GRPO) compareAll(r *Rollout) (err error) {
	xs := make([]experience, len(r.Samples))
	for i := range r.Samples {
		xs[i] = r.experience(i)
	}
	if err := g.keep(xs); err != nil {
		return err
	}
	g.replay(xs)
	r.sampling, err = g.rescore(xs)
	return err
}

// update makes one optimizer update. The first of a step, whose weights are those of the
// rollout, is compared with it: under FailOnMismatch it fails where it differs, and nothing
// has changed.
func (g *GRPO) update(ctx context.Context, mini miniBatch, first bool) (update, error) {
	var u update
	compare := first && g.Sampler.Policy().Experts
	var err error
	u.Metrics, err = g.Trainer.Update(ctx, int64(mini.global.Weight), len(mini.micro), func(s *tensor.Scope,
		i int) tensor.Tensor {
		xs := mini.micro[i]
		b := g.Trainer.Model.NewBatch(s, sequences(xs), mini.global)
		if compare {
			g.Trainer.Model.RecordExperts(&b)
		}
		return g.Trainer.Assemble(s, b, func(out model.Output) tensor.Tensor {
			t := tokens(s, out, b, xs, g.temperature())
			masked, err := g.OffPolicy.weigh(&t, xs)
			policy, loss := g.losses(t)
			u.masked += masked
			g.Trainer.After(func() error {
				if err != nil {
					return err
				}
				err := u.read(g.Objective, xs, t, policy)
				if err == nil && compare {
					err = u.routing.compare(g.Trainer.Model, b, xs)
				}
				if err == nil && first && g.FailOnMismatch {
					err = u.mismatch()
				}
				return err
			})
			if !g.Critic.shared() {
				return loss
			}
			values := g.Critic.loss(g.Trainer, out, b, xs, &u.values)
			return tensor.Add(loss, tensor.Scale(values, cmp.Or(g.Critic.Coef, 0.1)))
		})
	})
	return u, err
}

// losses are a micro-batch's share of the loss, and that without the entropy bonus
// of Objective, to be read after the backward pass.
func (g *GRPO) losses(t Tokens) (policy, loss tensor.Tensor) {
	if g.Loss != nil {
		loss = g.Loss(t)
		return loss.Keep(), loss
	}
	policy = g.Objective.policyLoss(t).Keep()
	return policy, g.Objective.withEntropy(t, policy)
}
