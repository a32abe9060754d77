package rl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// GRPO trains a model by group relative policy optimization. Fill in the fields
// and call Run, from one goroutine; but for Steps, FailOnMismatch, Alarms and
// functions they must not change after the first step. Defaults are TRL's.
type GRPO struct {
	// Trainer makes the optimizer updates of its Model, see train.Trainer.Update;
	// its Schedule counts updates. Its MaxRows bounds micro-batches, its Drafter's
	// loss on the sampled tokens and its balance loss are added where they are
	// set, its Seed keys rollouts, mini-batches and shuffling. Steps, Loss and
	// OnStep are not used; SaveEvery and EvalEvery count steps of GRPO.
	Trainer *train.Trainer
	Sampler rollout.Sampler // of the rollouts; the Model of its policy is Trainer.Model
	// Data gives the prompts of a step, the first being 0, as a pure function of it. With
	// DynamicSampling these are batches, of which a step takes one or several.
	Data   func(step int) ([]rollout.Prompt, error)
	Reward *reward.Suite
	Steps  int // rollouts to learn from, those before a resume included; required by Run
	G      int // completions of each prompt; 0 means 8

	// Advantages.

	Estimator Estimator // of the advantages; "" means EstimatorGRPO
	// Aggregation of several reward functions; "" means SumThenNormalize.
	Aggregation Aggregation
	// RewardKL is the coefficient of log μ/π_ref, with μ that the rollout was drawn
	// from, summed over the tokens of a sample or, of EstimatorReinforcePlusPlus and
	// Critic, token by token, that is subtracted from the rewards that advantages come
	// from; 0 means none. It takes the place of Objective.Beta: TRL's RLOOTrainer and
	// verl's use_kl_in_reward have it.
	RewardKL float64
	// Process gives rewards to steps of samples, beside the outcome: [samples][steps],
	// the steps in order. EstimatorGRPO compares them with those of the group's other
	// steps; EstimatorReinforcePlusPlus adds them to the rewards of tokens, the others
	// to those of samples. They are not logged: it must be a pure function of the
	// rollout. Optional.
	Process func(ctx context.Context, r *Rollout) ([][]StepReward, error)
	Scaling Scaling // of the advantages; "" means that of the Estimator
	StdEps  float64 // added to the standard deviation; 0 means 1e-4
	// Advantages gives each token of each sample its own advantage, [samples][tokens].
	// It sees the Rollout as it is, with those of the groups, which decide what is in
	// the loss all the same. If nil, all tokens of a sample have the sample's.
	Advantages func(r *Rollout) [][]float64
	// Critic makes it PPO: advantages are GAE's of its values, and not of groups, so
	// that G may be 1. Nil means that there is none.
	Critic *Critic
	// SkipZeroStd leaves groups without spread out of the loss, and out of its
	// normaliser unless LossType is LossDrGRPO. They have no advantage anyway,
	// only terms of divergence and entropy. TRL has no such option: it counts
	// these groups.
	SkipZeroStd bool
	// DynamicSampling replaces groups without spread by groups of further prompts: the step
	// completes batch after batch, until as many groups have a spread as the first batch has
	// prompts, but this many batches at most (DAPO, arXiv 2503.14476 §3.2; verl's
	// max_num_gen_batches, 10 in DAPO's recipe). At that bound it learns from those there
	// are, with an alarm, and fails if there is none. All are in the Rollout and in the
	// metrics; groups without spread and surplus ones are in no loss, no advantage and no
	// normaliser. RewardKL makes no spread. 0 means one batch, all of it in the loss.
	DynamicSampling int
	// MaskTruncated leaves the tokens of completions that met MaxTokens out of
	// the loss: TRL's mask_truncated_completions. The rewards count in their
	// group all the same, and LossGRPO and LossDrGRPO divide by these completions
	// too.
	MaskTruncated bool
	// Shuffle permutes the rewards across the batch: the control that must not
	// learn the task.
	Shuffle bool

	// Loss and updates.

	Objective Objective
	// Loss computes a micro-batch's share of the loss, of shape [1]; nil means
	// Objective.Loss. The metrics use the bounds of Objective in any case.
	Loss          func(t Tokens) tensor.Tensor
	LossType      LossType // "" means LossDAPO
	NumIterations int      // passes over a rollout; 0 means 1
	MiniBatches   int      // updates in a pass, each on a random part of the rollout; 0 means 1
	// OffPolicy corrects for rollouts that the trained model would not have drawn so. A Loss
	// of one's own finds its weights in Tokens.Importance.
	OffPolicy OffPolicy
	// RouterReplay has all updates of a step route the tokens of prompts and completions to
	// the experts of the rollout (arXiv 2510.11370, "R3"; DeepSeek-V3.2, arXiv 2512.02556 §3.1:
	// Keep Routing), whose scores the gates still learn. The Sampler's policy has Experts.
	// The reference model and a Drafter choose their own.
	RouterReplay bool
	// RefSync is the number of steps after which the reference model becomes the
	// current one, 400 for DeepSeek-R1-Zero; 0 means never. Without
	// Objective.Beta and RewardKL there is no reference model. That of a model with
	// adapters is the base model, scored with the adapters off, and stays so.
	RefSync int
	// RefMix is the part of the current model in the new reference model, the rest
	// being the old one: TRL's ref_model_mixup_alpha. 0 means 1, the current model
	// alone.
	RefMix float64

	// What is reported.

	// FailOnMismatch ends the run where the log-probabilities of a step's first
	// update are not those of its rollout, bit for bit. A step without an update
	// scores its rollout once more to compare them. Excludes a Sampler that draws from a
	// model of another precision, whose log-probabilities cannot be the same. Under
	// OffPolicy.Correction they are compared before the first update.
	FailOnMismatch bool
	Alarms         Thresholds
	// OnAlarm is told what looks wrong in a step. If nil, alarms are warnings of
	// Trainer.Logger.
	OnAlarm   func(step int, alarms []string)
	OnRollout func(r *Rollout)      // called with each rollout before the updates; optional
	OnStep    func(m train.Metrics) // called with the metrics of each step; optional
	// Report receives the preflight of a new run; nil means that it is checked
	// but not shown. preflight.txt in Trainer.Dir has it in any case.
	Report io.Writer
	// LogGroups is the number of groups of each step whose prompts, completions, rewards
	// and advantages are written to samples.jsonl in Trainer.Dir, the first ones of the
	// step; 0 means 1. examples/watch shows them.
	LogGroups int

	prepared  bool
	began     []setting // the fields at the first step
	closed    bool
	restore   func() error // gives the Trainer back the fields that prepare set
	failed    error        // set when a step broke off after an update
	step      int          // steps made
	batches   int          // of prompts that they took
	numTokens int64        // prompt and completion tokens of their rollouts
	history   history      // what alarms compare a step with
	reference *reference   // nil without Objective.Beta and RewardKL
	verdicts  *verdictLog  // nil without Trainer.Dir
	log       *runLog      // nil without Trainer.Dir
}

// StepCount is the number of steps made, those before a resume included.
func (g *GRPO) StepCount() int { return g.step }

// Run trains until Steps steps are made. It continues from the newest complete
// checkpoint in Trainer.Dir, or begins with a Preflight, and saves at the end. It
// fails if more than Steps are made already. When ctx is cancelled it saves what
// it has and returns the cause.
func (g *GRPO) Run(ctx context.Context) error {
	if g.Steps == 0 {
		return errors.New("rl: GRPO.Steps is 0")
	}
	if err := g.prepare(); err != nil {
		return err
	}
	if g.step > g.Steps {
		return fmt.Errorf("rl: GRPO.Steps is %d, %d are made", g.Steps, g.step)
	}
	if g.step == 0 {
		if err := g.preflight(ctx); err != nil {
			return err
		}
	}
	return g.Trainer.Loop(ctx, train.Loop{
		Name: "rl", Steps: g.Steps, Made: g.StepCount, Step: g.Step, OnStep: g.OnStep,
		Broken: func() bool { return g.failed != nil },
	})
}

// Step makes one step: a rollout, its rewards and advantages, and the updates.
// It works on a whole step or fails; a step that fails between two of its
// updates leaves the model between them, to be resumed from a checkpoint: further
// calls return the same error.
func (g *GRPO) Step(ctx context.Context) (train.Metrics, error) {
	if err := g.prepare(); err != nil {
		return train.Metrics{}, err
	}
	if g.failed != nil {
		return train.Metrics{}, g.failed
	}
	start := time.Now()
	r, err := g.rollout(ctx)
	if err != nil {
		return train.Metrics{}, err
	}
	if g.OnRollout != nil {
		g.OnRollout(r)
	}
	if err := g.log.rollout(r, cmp.Or(g.LogGroups, 1)); err != nil {
		return train.Metrics{}, err
	}
	began := g.versions()
	all, critic, err := g.learn(ctx, r)
	if err != nil {
		if g.versions() != began {
			g.failed = err
		}
		return train.Metrics{}, err
	}
	if len(all) == 0 && r.sampling.n == 0 {
		if err := g.compareAll(r); err != nil {
			if g.versions() != began { // the critic's, which warms up
				g.failed = err
			}
			return train.Metrics{}, err
		}
	}
	g.step++
	g.batches += r.Rounds
	for _, s := range r.Samples {
		g.numTokens += int64(len(r.Prompts[s.Prompt].IDs) + len(s.IDs))
	}
	m := g.metrics(r, all, critic)
	if g.reference != nil && g.RefSync > 0 && g.step%g.RefSync == 0 {
		if g.failed = g.reference.sync(g.RefMix); g.failed != nil {
			return train.Metrics{}, g.failed
		}
	}
	alarms := append(g.Alarms.check(g.history, m.Values), failed(r.Scores)...)
	if short := r.shortage(); short != "" {
		alarms = append(alarms, short)
	}
	g.alarm(alarms)
	g.history.add(m.Values, g.Alarms, trueRewards(g.Reward))
	m.Time = time.Since(start)
	return m, nil
}

func (g *GRPO) alarm(alarms []string) {
	if len(alarms) == 0 {
		return
	}
	g.log.alarm(g.step, alarms)
	if g.OnAlarm != nil {
		g.OnAlarm(g.step, alarms)
		return
	}
	log := g.Trainer.Logger()
	for _, a := range alarms {
		log.Warn(a, "step", g.step)
	}
}

func (g *GRPO) groupSize() int { return cmp.Or(g.G, 8) }

// temperature is that of the rollouts.
func (g *GRPO) temperature() float64 { return cmp.Or(g.Sampler.Policy().Sampling.Temperature, 1) }

// seed is the seed of one of the step's random streams.
func (g *GRPO) seed(purpose string, index ...int) uint64 {
	return model.DeriveSeed(g.Trainer.Seed, purpose, append([]int{g.step}, index...)...)
}
