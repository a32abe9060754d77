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
	values valueStats // statistics of a critic that reads the policy's hidden states
}

// learn makes the updates of the policy and of the critic for a rollout. It ignores
// cancellation of ctx, since a checkpoint can only be written between two steps.
func (g *GRPO) learn(ctx context.Context, r *Rollout) (all []update, critic []criticUpdate, err error) {
	ctx = context.WithoutCancel(ctx)
	if v := g.Trainer.StepCount(); r.Version != v {
		return nil, nil, fmt.Errorf("rl: the rollout was sampled after %d updates, but the model has had %d", r.Version, v)
	}
	xs, err := g.trainSamples(r)
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

// trainSamples returns the samples in the loss. With Objective.Beta it sets their log π_ref.
func (g *GRPO) trainSamples(r *Rollout) ([]trainSample, error) {
	var xs []trainSample
	for i := range r.Samples {
		if r.InLoss[i] {
			xs = append(xs, r.trainSample(i))
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

// referenceLogProbs returns log π_ref of the tokens of all samples of a rollout.
func (g *GRPO) referenceLogProbs(r *Rollout) ([][]float64, error) {
	xs := make([]trainSample, len(r.Samples))
	for i := range xs {
		s := &r.Samples[i]
		xs[i] = newTrainSample(r.Prompts[s.Prompt], s, nil)
	}
	if err := g.keep(xs); err != nil {
		return nil, err
	}
	return g.reference.logProbs(xs, g.Trainer.MaxRows, g.temperature())
}

// keep records which tokens top-k and top-p left to sample from at each token of xs. It must
// be called before the first update, while the weights are still those of the rollout. All
// updates of the step and the reference model compute log-probabilities within these sets
// of tokens (DeepSeek-V3.2, arXiv 2512.02556 §3.1: Keep Sampling Mask).
func (g *GRPO) keep(xs []trainSample) error {
	sampling := g.Sampler.Policy().Sampling
	if !sampling.Drops() {
		return nil
	}
	policy := cmp.Or(g.Sampler.Policy().Drawn, g.Trainer.Model)
	if err := keep(policy, xs, g.Trainer.MaxRows, sampling); err != nil {
		return fmt.Errorf("rl: step %d: tokens that top-k and top-p keep: %w", g.step, err)
	}
	return nil
}

// rescore computes the log-probabilities of xs under the Trainer's model before the first
// update, and compares them with those of the rollout. Under OffPolicy.Correction they
// become π_old of the updates.
func (g *GRPO) rescore(xs []trainSample) (agreement, error) {
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

// compareAll compares the log-probabilities of a rollout with those of the Trainer's model,
// for a step without an update. In other steps the first update compares them.
func (g *GRPO) compareAll(r *Rollout) (err error) {
	xs := make([]trainSample, len(r.Samples))
	for i := range r.Samples {
		xs[i] = r.trainSample(i)
	}
	if err := g.keep(xs); err != nil {
		return err
	}
	g.replay(xs)
	r.sampling, err = g.rescore(xs)
	return err
}

// update makes one optimizer update. first is set for the first update of a step, whose
// weights are those of the rollout. Under FailOnMismatch, it fails before it changes any
// weight if its log-probabilities differ from the rollout's.
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

// losses returns the contribution of a micro-batch to the loss, and the same without the
// entropy bonus of Objective, which stays readable after the backward pass.
func (g *GRPO) losses(t Tokens) (policy, loss tensor.Tensor) {
	if g.Loss != nil {
		loss = g.Loss(t)
		return loss.Keep(), loss
	}
	policy = g.Objective.policyLoss(t).Keep()
	return policy, g.Objective.withEntropy(t, policy)
}
