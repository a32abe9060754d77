package rl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Rollout holds the samples of a step, with their rewards and advantages.
type Rollout struct {
	Step    int // number of steps made before
	Version int // number of optimizer updates of the policy before it was sampled
	Rounds  int // number of batches of prompts; 1, or more under GRPO.DynamicSampling
	Prompts []rollout.Prompt
	Samples []rollout.Sample // sample g of prompt p at index p·G + g
	Scores  *reward.Scores   // verdicts of the reward functions, and their totals

	// The following fields have an element for each sample.

	// Steps holds the rewards of the sample's steps; nil without GRPO.Process.
	Steps [][]StepReward
	// RefLogProbs holds log π_ref of the sample's tokens; nil without GRPO.RewardKL.
	RefLogProbs [][]float64

	Rewards    []reward.Verdict // Scores.Totals, permuted under GRPO.Shuffle
	Advantages Advantages       // computed from Rewards
	// Values and Returns hold the critic's values and the returns of the sample's tokens. They
	// are nil without GRPO.Critic; an element is nil if its sample is not in the loss.
	Values, Returns [][]float64
	// InLoss reports whether the sample is in the loss. It is false for samples without a
	// reward, for truncated samples under GRPO.MaskTruncated, and for groups that
	// GRPO.SkipZeroStd or GRPO.DynamicSampling leaves out.
	InLoss []bool

	dropped  []bool    // groups that GRPO.DynamicSampling drops; nil without it
	missing  int       // number of groups with a spread that the step lacks at the limit of rounds
	sampling agreement // with the trained model, if it scored the rollout apart from the updates
	order    []int     // Rewards[i] is the verdict of sample order[i]; nil without GRPO.Shuffle
}

// judged returns the index of the sample whose verdict is Rewards[i].
func (r *Rollout) judged(i int) int {
	if r.order == nil {
		return i
	}
	return r.order[i]
}

// rollout makes the rollout of the current step, with rewards and advantages.
func (g *GRPO) rollout(ctx context.Context) (*Rollout, error) {
	r, err := g.round(ctx, 0)
	if err != nil {
		return nil, err
	}
	if g.DynamicSampling > 0 {
		if err := g.resample(ctx, r); err != nil {
			return nil, err
		}
	}
	if g.RewardKL != 0 {
		if r.RefLogProbs, err = g.referenceLogProbs(r); err != nil {
			return nil, err
		}
	}
	return r, g.judge(r)
}

// round samples and scores completions of batch n of the prompts of the step; the first is 0.
func (g *GRPO) round(ctx context.Context, n int) (*Rollout, error) {
	prompts, err := g.prompts(g.batches + n)
	if err != nil {
		return nil, err
	}
	var index []int // index of the random streams of the round
	if n > 0 {
		index = []int{n}
	}
	r := &Rollout{Step: g.step, Version: g.Trainer.StepCount(), Rounds: 1, Prompts: prompts}
	draw := rollout.Draw{Seed: g.seed("rollout", index...), N: g.groupSize()}
	if r.Samples, err = rollout.Complete(ctx, g.Sampler, prompts, draw); err != nil {
		return nil, err
	}
	if r.Scores, err = g.score(ctx, r, n); err != nil {
		return nil, err
	}
	r.Rewards = slices.Clone(r.Scores.Totals)
	if g.Shuffle {
		r.order = shuffle(r.Rewards, g.seed("shuffle", index...))
	}
	return r, g.process(ctx, r)
}

// shuffle permutes the rewards of a batch in place: afterwards rewards[i] is the reward of
// sample order[i].
func shuffle(rewards []reward.Verdict, seed uint64) (order []int) {
	was := slices.Clone(rewards)
	order = rand.New(rand.NewPCG(seed, 0)).Perm(len(rewards))
	for i, from := range order {
		rewards[i] = was[from]
	}
	return order
}

// prompts returns the prompts of a batch; the first batch is 0.
func (g *GRPO) prompts(batch int) ([]rollout.Prompt, error) {
	prompts, err := g.Data(batch)
	if err == nil && len(prompts) == 0 {
		err = errors.New("GRPO.Data returned none")
	}
	if err == nil {
		err = g.Sampler.Check(prompts)
	}
	if err != nil {
		of := "step"
		if g.DynamicSampling > 0 {
			of = "batch"
		}
		return nil, fmt.Errorf("rl: prompts of %s %d: %w", of, batch, err)
	}
	return prompts, nil
}

// score computes the rewards of the samples of a round. If an interrupted run has already
// logged the verdicts, it uses these.
func (g *GRPO) score(ctx context.Context, r *Rollout, round int) (*reward.Scores, error) {
	logged, err := g.verdicts.of(r, round)
	if err != nil {
		return nil, err
	}
	if logged != nil {
		return g.Reward.Replay(logged, len(r.Samples))
	}
	scores, err := g.Reward.Score(ctx, rollout.Rewardable(r.Prompts, r.Samples))
	if err != nil {
		return nil, err
	}
	return scores, g.verdicts.write(r, round, scores)
}

// judge computes the advantages and decides which samples are in the loss.
func (g *GRPO) judge(r *Rollout) error {
	r.Advantages = g.estimate(r)
	if r.dropped != nil {
		g.estimateKept(r)
	}
	r.InLoss = make([]bool, len(r.Samples))
	for i, s := range r.Samples {
		r.InLoss[i] = g.keeps(r, i) && !(g.MaskTruncated && s.Finish == model.Truncated)
	}
	if g.Critic != nil {
		return g.estimateByValues(r)
	}
	if g.Advantages == nil {
		return nil
	}
	own := g.Advantages(r)
	if len(own) != len(r.Samples) {
		return fmt.Errorf("rl: step %d: GRPO.Advantages returned advantages of %d samples, want %d", r.Step, len(own),
			len(r.Samples))
	}
	for i, s := range r.Samples {
		if len(own[i]) != len(s.IDs) {
			return fmt.Errorf("rl: step %d: GRPO.Advantages returned %d values for sample %d, which has %d tokens", r.Step,
				len(own[i]), i, len(s.IDs))
		}
		for j, a := range own[i] {
			if math.IsNaN(a) || math.IsInf(a, 0) {
				return fmt.Errorf("rl: step %d: GRPO.Advantages returned %g for token %d of sample %d", r.Step, a, j, i)
			}
		}
	}
	r.Advantages.Token = own
	return nil
}

// keeps reports whether sample i has a reward and its group is neither skipped nor dropped.
func (g *GRPO) keeps(r *Rollout, i int) bool {
	return !r.drops(i) && r.Advantages.Scored[i] && !(g.SkipZeroStd && r.Advantages.ZeroStd[r.Samples[i].Prompt])
}

// kept returns the number of samples for which keeps is true.
func (g *GRPO) kept(r *Rollout) int {
	n := 0
	for i := range r.Samples {
		if g.keeps(r, i) {
			n++
		}
	}
	return n
}
