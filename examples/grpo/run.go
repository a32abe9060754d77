package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/examples/internal/keys"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/rollout"
)

// runFolder is the subfolder of the output folder with the run's checkpoints and metrics.
const runFolder = "grpo"

// training is one run of the command.
type training struct {
	*tune.Run
	config  *config
	keys    *keys.Keys
	writer  *writer
	data    *problems
	decoder *model.Generator
	critic  *model.Model   // second model, for critic own
	nested  *train.Trainer // trainer of critic
	result  result

	evaluation time.Duration // of the last evaluation; 0 if there was none
}

// result is what -json prints. The accuracies are on held-out problems; they are absent if there
// was no evaluation.
type result struct {
	Before        *float64 `json:"held_accuracy_before,omitempty"`
	After         *float64 `json:"held_accuracy_after,omitempty"`
	Train         int      `json:"problems"`
	Held          int      `json:"held_problems"`
	LeftOut       int      `json:"too_long"`
	Steps         int      `json:"steps"`
	Reward        float64  `json:"reward"` // of the last step
	Params        int      `json:"params"`
	Trained       int      `json:"trained_params"`
	Estimate      int      `json:"estimated_bytes"` // estimate of the memory
	Resident      int      `json:"resident_bytes"`  // peak resident memory before saving; 0 if unknown
	Seconds       float64  `json:"seconds"`         // of this process
	WeightsSHA256 string   `json:"weights_sha256"`  // of the trained parameters
	Out           string   `json:"out"`
}

func (t *training) close() error {
	t.free()
	return t.Run.Close()
}

// free frees the generator and the critic.
func (t *training) free() {
	if t.decoder != nil {
		t.decoder.Close()
		t.decoder = nil
	}
	if t.nested != nil {
		t.nested.Close()
		t.nested = nil
	}
	if t.critic != nil {
		t.critic.Free()
		t.critic = nil
	}
}

func (t *training) all(ctx context.Context) (err error) {
	began, c := time.Now(), t.config
	if c.Preset != "" {
		p, err := findPreset(c.Preset)
		if err != nil {
			return err
		}
		fmt.Printf("preset %s: %s\n", p.name, p.source)
	}
	fmt.Printf("data: %d problems to train on, %d held out, %d with longer prompts left out\nrun: %s\n", len(t.data.train),
		len(t.data.held), t.data.long, c.shape())
	if err := t.announce(); err != nil {
		return err
	}
	settings := t.keys.Fixed()
	settings["device"], settings["model"], settings["data_sha256"] = t.Device, t.Model, t.data.sum
	settings["config"] = t.Config
	if err := t.Settle(settings); err != nil {
		return err
	}
	if err := run.WriteSettings(filepath.Join(t.Out, "resolved.json"), c); err != nil {
		return err
	}
	if err := t.Load(); err != nil {
		return err
	}
	g, err := t.grpo(t.Trained, t.loadCritic)
	if err != nil {
		return err
	}
	if err := t.learn(ctx, g); err != nil {
		return err
	}
	t.free() // Save may need the memory
	r := &t.result
	r.Resident = lab.ResidentPeak()
	fmt.Printf("peak memory: estimated %.1f MiB, resident %.1f MiB\n", float64(r.Estimate)/(1<<20),
		float64(r.Resident)/(1<<20))
	if r.WeightsSHA256, err = t.Save(); err != nil {
		return err
	}
	r.Train, r.Held, r.LeftOut, r.Out = len(t.data.train), len(t.data.held), t.data.long, t.Out
	r.Params, r.Trained = t.Params, t.TrainedParams
	r.Seconds = time.Since(began).Seconds()
	fmt.Printf("saved in %s after %.0f s\n", filepath.Join(t.Out, tune.ModelFolder), r.Seconds)
	return nil
}

// trainer returns a trainer of m with peak learning rate lr.
func (t *training) trainer(m *model.Model, lr float64) *train.Trainer {
	c := t.config
	tr := t.Run.Trainer(m, c.Steps, t.data.sum)
	tr.Optimizer = train.AdamW{LR: lr, Beta2: c.AdamBeta2, WeightDecay: c.WeightDecay}
	tr.ClipNorm = c.MaxGradNorm
	tr.Schedule = train.Constant(1)
	if c.Decay == "linear" {
		tr.Schedule = train.Linear(0, c.Steps*c.updates(), 0)
	}
	if c.Warmup > 0 {
		tr.Schedule = train.WarmUp(c.Warmup*c.updates(), tr.Schedule)
	}
	return tr
}

// grpo returns the GRPO or PPO training of m. network makes the second model for critic own.
func (t *training) grpo(m *model.Model, network func(b backend.Backend) (*model.Model, error)) (*rl.GRPO, error) {
	c := t.config
	decoder, err := model.NewGenerator(m, model.GeneratorOptions{
		Slots: min(c.Slots, c.Prompts*c.Generations), MaxLen: t.data.longest + c.MaxTokens,
	})
	if err != nil {
		return nil, err
	}
	t.decoder = decoder
	g := &rl.GRPO{
		Trainer: t.trainer(m, c.LR), Sampler: t.sampler(decoder, model.Sampling{
			Temperature: c.Temperature, TopP: c.TopP, TopK: c.TopK,
		}),
		Data: t.prompts, Reward: c.suite(), Steps: c.Steps, G: c.Generations,
		RewardKL: c.RewardKL, SkipZeroStd: c.SkipZeroStd, DynamicSampling: c.GenBatches, MaskTruncated: c.Mask,
		Shuffle: c.Shuffle, OffPolicy: rl.OffPolicy{
			Correction: rl.Correction(c.Correction), Cap: c.Cap, MaskThreshold: c.OffPolicy,
		},
		Objective: rl.Objective{
			Surrogate: rl.Surrogate(c.Surrogate), Level: rl.Level(c.Level),
			EpsilonLow: c.Epsilon, EpsilonHigh: c.EpsilonHigh,
			DualClip: c.DualClip, TauPositive: c.TauPositive, TauNegative: c.TauNegative, MirrorTau: c.MirrorTau,
			Beta: c.Beta, Divergence: rl.Divergence(c.Divergence), EntropyCoef: c.EntropyCoef,
		},
		LossType: rl.LossType(c.LossType), NumIterations: c.Iterations, MiniBatches: c.MiniBatches,
		RefSync: c.RefSync, RefMix: c.RefMix,
	}
	if c.Critic == "none" {
		g.Estimator, g.Scaling = rl.Estimator(c.Estimator), rl.Scaling(c.Scaling)
		g.Aggregation = rl.Aggregation(c.Aggregation)
		return g, nil
	}
	g.Critic = &rl.Critic{Gamma: c.Gamma, Lambda: c.Lambda, ClipRange: c.ValueClip, Coef: c.ValueCoef,
		Warmup: c.CriticWarmup}
	if c.Critic == "own" {
		if m, err = network(m.Backend()); err != nil {
			return nil, err
		}
		t.nested = t.trainer(m, c.CriticLR)
		g.Critic.Trainer = t.nested
	}
	var head *tensor.Param
	if head, err = rl.NewValueHead(m); err != nil {
		return nil, err
	}
	g.Critic.Head = head
	return g, nil
}

func (t *training) loadCritic(backend.Backend) (m *model.Model, err error) {
	t.critic, err = t.LoadAnother()
	return t.critic, err
}

// sampler returns a sampler of completions.
func (t *training) sampler(decoder *model.Generator, s model.Sampling) *rollout.Generator {
	return &rollout.Generator{
		Generator: decoder, Decode: t.writer.tokens.Decode, Sampling: s, MaxTokens: t.config.MaxTokens,
		Stop: t.writer.stop(t.Config.EOSTokenID),
	}
}

// prompts returns the prompts of a batch. A step uses one batch or, with dynamic sampling,
// several. Batches go through the problems pass after pass, each in a different order.
func (t *training) prompts(batch int) ([]rollout.Prompt, error) {
	n := len(t.data.train)
	list := make([]rollout.Prompt, t.config.Prompts)
	pass, order := -1, []int(nil)
	for i := range list {
		at := batch*len(list) + i
		if at/n != pass {
			pass = at / n
			order = rand.New(rand.NewPCG(model.DeriveSeed(t.Seed, "pass", pass), 0)).Perm(n)
		}
		list[i] = t.data.train[order[at%n]]
	}
	return list, nil
}

// announce prints how much memory the run needs. It returns an error if the run does not fit or
// if the configuration is inconsistent.
func (t *training) announce() error {
	prompts, err := t.heaviest()
	if err != nil {
		return err
	}
	m, err := rl.Memory(t.Backend, func(b backend.Backend) (*rl.GRPO, error) {
		m, err := t.Build(b)
		if err != nil {
			return nil, err
		}
		g, err := t.grpo(m, t.Build)
		t.decoder, t.nested = nil, nil // those of the dry run are not to be freed
		if err != nil {
			return nil, err
		}
		g.Data = func(int) ([]rollout.Prompt, error) { return prompts, nil }
		return g, nil
	})
	if err != nil {
		return err
	}
	t.result.Estimate = m.Peak
	return lab.Announce(os.Stdout, t.Backend, []lab.Phase{{Name: "training", Memory: m}})
}

// heaviest returns the prompts of the step with the most prompt tokens. If there are many, it
// returns only as many of the longest ones as fill the generator's slots and the micro-batches of
// each mini-batch, since more prompts need no more memory.
func (t *training) heaviest() (most []rollout.Prompt, err error) {
	c := t.config
	tokens := -1
	for step := range min(c.Steps, 1000) {
		prompts, err := t.prompts(step)
		if err != nil {
			return nil, err
		}
		n := 0
		for _, p := range prompts {
			n += len(p.IDs)
		}
		if n > tokens {
			tokens, most = n, prompts
		}
	}
	rows := c.Generations * c.MaxTokens // minimum tokens of a prompt's completions
	enough := max(c.Slots/c.Generations, c.MiniBatches*(2*c.Rows/rows+1)) + 1
	if enough < len(most) {
		slices.SortStableFunc(most, func(a, b rollout.Prompt) int { return len(b.IDs) - len(a.IDs) })
		most = most[:enough]
	}
	return most, nil
}

// learn evaluates the model, runs the steps that are left after the newest checkpoint, and
// evaluates the model again.
func (t *training) learn(ctx context.Context, g *rl.GRPO) (err error) {
	c, tr := t.config, g.Trainer
	defer tr.Close()
	defer func() { err = errors.Join(err, g.Close()) }()
	if !t.Resume {
		if t.result.Before, err = t.evaluate(ctx, g, "held-out problems before"); err != nil {
			return err
		}
	}
	bar := progress.New(c.Steps, "training", "steps")
	defer bar.Close()
	tr.Dir = filepath.Join(t.Out, runFolder)
	tr.Log, g.Report = bar.Logger(), bar
	if c.EvalEvery > 0 {
		tr.EvalEvery = c.EvalEvery
		tr.Eval = func(ctx context.Context, step int) (map[string]float64, error) {
			r, err := t.measure(ctx, g, func(int, int) {})
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(bar, "step %d: held-out accuracy %.1f%%\n", step, 100*accuracy(r))
			return r.Metrics(), nil
		}
	}
	g.OnRollout = func(r *rl.Rollout) { t.show(bar, r) }
	estimated := false
	g.OnStep = func(m train.Metrics) {
		v := m.Values
		t.result.Reward = v[rl.MetricReward]
		bar.Step(m.Step, fmt.Sprintf("training, reward %.3f, length %.0f", v[rl.MetricReward], v[rl.MetricMeanLength]))
		if m.Step%max(c.Steps/20, 1) == 0 {
			dead := ""
			if share, ok := v[rl.MetricRewardZeroStd]; ok {
				dead = fmt.Sprintf("dead groups %.2f, ", share)
			}
			fmt.Fprintf(bar, "step %d: reward %.3f ± %.3f, length %.1f, truncated %.2f, entropy %.3f, "+
				"%sgradient %.3g, %.1f s\n",
				m.Step, v[rl.MetricReward], v[rl.MetricRewardStd], v[rl.MetricMeanLength], v[rl.MetricTruncated],
				v[rl.MetricEntropy], dead, v[train.MetricGradNorm], m.Time.Seconds())
		}
		if !estimated {
			estimated = true
			fmt.Fprint(bar, c.estimate(m, t.evaluation))
		}
	}
	if err := g.Run(ctx); err != nil {
		return err
	}
	t.result.Steps = g.StepCount()
	bar.Close()
	t.result.After, err = t.evaluate(ctx, g, "held-out problems after")
	return err
}
