package rl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// GRPO trains a model by group relative policy optimization. Fill in the fields and call
// Run, from one goroutine. Only Steps, FailOnMismatch, Alarms, LogGroups and functions may
// change after the first step. Defaults are TRL's.
type GRPO struct {
	// Trainer makes the optimizer updates of its Model; see train.Trainer.Update. Its
	// Schedule counts updates. Its MaxRows limits micro-batches. Its balance loss and its
	// Drafter's loss on the sampled tokens are added if they are set. Its Seed seeds
	// rollouts, mini-batches and shuffling. Its SaveEvery and EvalEvery count steps of
	// GRPO. Its Steps, Loss and OnStep are not used.
	Trainer *train.Trainer
	Sampler rollout.Sampler // generates the rollouts; its policy's Model is Trainer.Model
	// Data returns the prompts of a step; the first step is 0. It must be a pure function.
	// With DynamicSampling the argument counts batches of prompts instead of steps, and a
	// step uses one batch or more.
	Data   func(step int) ([]rollout.Prompt, error)
	Reward *reward.Suite
	Steps  int // total number of steps, including those before a resume; required by Run
	G      int // number of completions of each prompt; 0 means 8

	// Advantages.

	Estimator Estimator // computes the advantages; "" means EstimatorGRPO
	// Aggregation combines several reward functions; "" means SumThenNormalize.
	Aggregation Aggregation
	// RewardKL is the coefficient of a KL penalty that is subtracted from the rewards
	// before advantages are computed. The penalty is log μ/π_ref, where μ is the
	// distribution that the rollout was sampled from. It is summed over the tokens of a
	// sample, but EstimatorReinforcePlusPlus and Critic apply it token by token. 0 means no
	// penalty. It excludes Objective.Beta. TRL's RLOOTrainer does this, and verl under
	// use_kl_in_reward.
	RewardKL float64
	// Process returns rewards for the steps of samples, in addition to the outcome reward:
	// [samples][steps], in order. EstimatorGRPO compares them with the rewards of all steps
	// of the group; EstimatorReinforcePlusPlus and Critic add them to the rewards of tokens,
	// and other estimators add them to the rewards of samples. Process must be a pure
	// function of the rollout, since its results are not logged. Optional.
	Process func(ctx context.Context, r *Rollout) ([][]StepReward, error)
	Scaling Scaling // divisor of the advantages; "" means the Estimator's default
	StdEps  float64 // added to the standard deviation; 0 means 1e-4
	// Advantages returns an advantage for each token of each sample, [samples][tokens], which
	// replaces the Estimator's. The Rollout has the Estimator's advantages, and these still
	// decide what SkipZeroStd and DynamicSampling leave out. If nil, the Estimator's are used.
	Advantages func(r *Rollout) [][]float64
	// Critic turns GRPO into PPO: advantages are computed by GAE from the critic's values
	// instead of from groups, so G may be 1. If nil, there is no critic.
	Critic *Critic
	// SkipZeroStd leaves groups whose rewards are all equal out of the loss, and out of its
	// normaliser unless LossType is LossDrGRPO. Their advantages are 0, so they contribute
	// only divergence and entropy. TRL has no such option: it keeps these groups.
	SkipZeroStd bool
	// DynamicSampling replaces groups without spread, whose rewards are all equal, by groups
	// of further prompts (DAPO, arXiv 2503.14476 §3.2). A step takes batches of prompts
	// until as many groups have a spread as the first batch has prompts. DynamicSampling is
	// the maximum number of batches: verl's max_num_gen_batches, 10 in DAPO's recipe. At
	// that limit the step learns from the groups it has and raises an alarm; if it has none,
	// it fails. The Rollout and the metrics include all groups. Groups without spread and
	// surplus groups are excluded from the loss, the advantages and the normaliser. RewardKL
	// does not count as spread. 0 means one batch, all of it in the loss.
	DynamicSampling int
	// MaskTruncated leaves completions that were cut off at MaxTokens out of the loss: TRL's
	// mask_truncated_completions. Their rewards still count in the group's mean and
	// deviation, and they still count in the normalisers of LossGRPO and LossDrGRPO.
	MaskTruncated bool
	// Shuffle permutes the rewards across the batch: a control experiment, in which the
	// model must not learn the task.
	Shuffle bool

	// Loss and updates.

	Objective Objective
	// Loss computes the contribution of a micro-batch to the loss, of shape [1]; nil means
	// Objective.Loss. Clipping metrics use the bounds of Objective in any case.
	Loss          func(t Tokens) tensor.Tensor
	LossType      LossType // "" means LossDAPO
	NumIterations int      // passes over a rollout; 0 means 1
	MiniBatches   int      // updates in a pass, each on a random part of the rollout; 0 means 1
	// OffPolicy corrects for rollouts that were sampled from another distribution than the
	// trained model's. A custom Loss finds the importance weights in Tokens.Importance.
	OffPolicy OffPolicy
	// RouterReplay routes the tokens in all updates of a step to the experts that the rollout
	// chose (arXiv 2510.11370, "R3"; DeepSeek-V3.2, arXiv 2512.02556 §3.1: Keep Routing). The
	// gates still learn from their scores of these experts. It requires a Sampler whose
	// policy records Experts. The reference model and a Drafter choose their own experts.
	RouterReplay bool
	// RefSync is the number of steps between updates of the reference model to the current
	// model; 0 means that it is never updated. DeepSeek-R1-Zero used 400. There is no
	// reference model without Objective.Beta and RewardKL. If the model has adapters, the
	// reference model is always the base model, evaluated without the adapters.
	RefSync int
	// RefMix is the weight of the current model in the updated reference model; the rest is
	// the old reference model: TRL's ref_model_mixup_alpha. 0 means 1, only the current
	// model.
	RefMix float64

	// Reporting.

	// FailOnMismatch makes the run fail if the log-probabilities of a step's first update
	// differ in any bit from those of its rollout. A step without an update computes them
	// once more in order to compare. Under OffPolicy.Correction they are compared before the
	// first update. FailOnMismatch cannot be combined with a Sampler that generates with a
	// model of another precision.
	FailOnMismatch bool
	Alarms         Thresholds
	// OnAlarm is called with the alarms of a step or an evaluation. If nil, they are
	// logged as warnings to Trainer.Logger, an alarm of several steps in a row once.
	OnAlarm   func(step int, alarms []string)
	OnRollout func(r *Rollout)      // called with each rollout before the updates; optional
	OnStep    func(m train.Metrics) // called with the metrics of each step; optional
	// Report receives the text of the preflight of a new run. If nil, the preflight is run
	// but not shown. Its text is also written to preflight.txt in Trainer.Dir.
	Report io.Writer
	// LogGroups is the number of groups of each step, counted from the first, whose prompts,
	// completions, rewards and advantages are written to samples.jsonl in Trainer.Dir; 0
	// means 1. examples/watch shows them.
	LogGroups int

	prepared  bool
	began     []setting // the fields at the first step
	closed    bool
	restore   func() error   // restores the Trainer's fields that prepare set
	failed    error          // the error of a step that failed after an update
	step      int            // number of steps made
	batches   int            // number of batches of prompts used by these steps
	numTokens int64          // number of prompt and completion tokens of their rollouts
	history   history        // the metrics that alarms compare a step with
	warned    map[string]int // the step of the last alarm of each kind, if they are logged
	reference *reference     // nil without Objective.Beta and RewardKL
	verdicts  *verdictLog    // nil without Trainer.Dir
	log       *runLog        // nil without Trainer.Dir
}

// StepCount returns the number of steps made, including those before a resume.
func (g *GRPO) StepCount() int { return g.step }

// Run trains until Steps steps are made. It resumes from the newest complete checkpoint
// in Trainer.Dir, or begins with a Preflight, and saves a checkpoint at the end. It returns
// an error if more than Steps steps have already been made. If ctx is cancelled, it saves a
// checkpoint and returns the cause.
func (g *GRPO) Run(ctx context.Context) error {
	if g.Steps == 0 {
		return errors.New("rl: GRPO.Steps is 0")
	}
	if err := g.prepare(); err != nil {
		return err
	}
	if g.step > g.Steps {
		return fmt.Errorf("rl: GRPO.Steps is %d, but %d steps have been made", g.Steps, g.step)
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

// Step makes one step: a rollout, its rewards and advantages, and the updates. If it fails
// before the first update, the model is unchanged. If it fails after one, later calls
// return the same error: resume from a checkpoint.
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
			if g.versions() != began { // the critic has been updated during its warmup
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
	log, last := g.Trainer.Logger(), g.warned
	g.warned = map[string]int{}
	for _, a := range alarms {
		kind, _, _ := strings.Cut(a, ":")
		kind = strings.TrimRight(kind, "0123456789.e+- ")
		if step, ok := last[kind]; !ok || step < g.step-1 {
			log.Warn(a, "step", g.step)
		}
		g.warned[kind] = g.step
	}
}

func (g *GRPO) groupSize() int { return cmp.Or(g.G, 8) }

// temperature returns the sampling temperature of the rollouts.
func (g *GRPO) temperature() float64 { return cmp.Or(g.Sampler.Policy().Sampling.Temperature, 1) }

// seed returns the seed of one of the random streams of the current step.
func (g *GRPO) seed(purpose string, index ...int) uint64 {
	return model.DeriveSeed(g.Trainer.Seed, purpose, append([]int{g.step}, index...)...)
}
