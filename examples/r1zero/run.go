package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// experiment is one run from base model to report.
type experiment struct {
	options
	scale     lab.Scale
	precision backend.DType
	b         backend.Backend
	m         *model.Model
	gen       *model.Generator
	result    result
}

// modelFolder is where the output folder has the finished model, as model.Load and
// transformers read it.
const modelFolder = "model"

// resultVersion counts the changes of the result's keys.
const resultVersion = 2

// result is the JSON object of -json. Seconds are those of this process: a
// resumed run does not count what was done before.
type result struct {
	Version int `json:"version"`
	lab.Before
	Pass1After     float64  `json:"pass1_after"`
	Pass16After    float64  `json:"pass16_after"`
	Maj16After     float64  `json:"maj16_after"`
	LengthAfter    float64  `json:"length_after"`
	ChecksAfter    float64  `json:"self_checks_after"`
	Seconds        float64  `json:"seconds"`
	BaseSeconds    float64  `json:"base_seconds"`
	EvalSeconds    float64  `json:"eval_seconds"`    // both evaluations
	RLSeconds      float64  `json:"rl_seconds"`      // all of GRPO, checkpoints included; of it:
	RolloutSeconds float64  `json:"rollout_seconds"` // completions and their rewards
	UpdateSeconds  float64  `json:"update_seconds"`  // scoring, gradients and optimizer
	RLSteps        int      `json:"rl_steps"`
	Params         int      `json:"params"`
	ActiveParams   int64    `json:"active_params"`
	LogpDiffMax    *float64 `json:"logp_diff_max"` // null: no step had anything to learn from
	MaxVioMean     float64  `json:"maxvio_mean"`
	WeightsSHA256  string   `json:"weights_sha256"`
	Seed           uint64   `json:"seed"`
	Control        string   `json:"control,omitempty"`
	Out            string   `json:"out"`
}

func (r *experiment) all(ctx context.Context) error {
	began := time.Now()
	config := lab.Teacher()
	options := model.Options{Precision: r.precision}
	if err := r.announce(config, options); err != nil {
		return err
	}
	m, err := model.NewWith(r.b, config, r.Seed, options)
	if err != nil {
		return err
	}
	r.m = m
	if err := r.settle(config); err != nil {
		return err
	}
	if err := r.base(ctx); err != nil {
		return err
	}
	r.result.BaseSeconds = time.Since(began).Seconds()
	r.describe()
	if !r.unbalanced() {
		if err := r.learn(ctx); err != nil {
			return err
		}
	}
	if err := lab.Save(filepath.Join(r.Out, modelFolder), m); err != nil {
		return err
	}
	sum, err := train.WeightsSHA256(m.Params.All())
	if err != nil {
		return err
	}
	r.result.WeightsSHA256 = sum
	r.result.Version, r.result.Seconds = resultVersion, time.Since(began).Seconds()
	r.result.Seed, r.result.Control, r.result.Out = r.Seed, r.Control, r.Out
	t := r.result
	fmt.Printf("\ntime: base %.0f s, evaluations %.0f s, GRPO %.0f s (rollouts %.0f s, updates %.0f s), all %.0f s\nweights %s in %s\n",
		t.BaseSeconds, t.EvalSeconds, t.RLSeconds, t.RolloutSeconds, t.UpdateSeconds, t.Seconds, sum[:16],
		filepath.Join(r.Out, modelFolder))
	return nil
}

// announce says how much memory the run takes, and refuses one that does not fit.
func (r *experiment) announce(c model.Config, o model.Options) error {
	phases, err := r.baseRun().Phases(r.b, c, o)
	if err != nil {
		return err
	}
	if r.unbalanced() {
		phases = phases[:1]
	}
	return lab.Announce(os.Stdout, r.b, phases)
}

// baseRun is the training of the base model.
func (r *experiment) baseRun() lab.Base {
	return lab.Base{Dir: filepath.Join(r.Out, "base"), Seed: r.Seed, Scale: r.scale, Unbalanced: r.unbalanced()}
}

// settle puts everything that decides the run's result to config.json, and what
// decides the base model's to base/config.json. A folder with another base model
// or, with -resume, another run is refused, with what differs. Without -resume
// the GRPO run that is there is set aside.
func (r *experiment) settle(c model.Config) error {
	base := struct {
		Device     string       `json:"device"`
		Seed       uint64       `json:"seed"`
		Precision  string       `json:"precision,omitempty"`
		Unbalanced bool         `json:"unbalanced"`
		Scale      lab.Scale    `json:"scale"`
		Model      model.Config `json:"model"`
	}{r.Device, r.Seed, r.Precision, r.unbalanced(), r.scale.Base(), c}
	all := struct {
		options
		Scale lab.Scale    `json:"scale"`
		Model model.Config `json:"model"`
	}{r.options, r.scale, c}
	config := filepath.Join(r.Out, "config.json")
	if err := os.MkdirAll(filepath.Join(r.Out, "base"), 0o777); err != nil {
		return err
	}
	if r.Resume {
		if err := run.Settle(config, all); err != nil {
			return err
		}
	}
	if err := run.Settle(filepath.Join(r.Out, "base", "config.json"), base); err != nil || r.Resume {
		return err
	}
	if err := setAside(r.Out); err != nil {
		return err
	}
	return run.WriteSettings(config, all)
}

func (r *experiment) unbalanced() bool { return r.Control == "unbalanced" }

// base trains the base model, or loads the one in the output folder.
func (r *experiment) base(ctx context.Context) error {
	corpus := lab.Corpus(r.Seed)
	correct, tries := corpus.CorrectShare(20000)
	fmt.Printf("base text: %.1f%% of its traces end in a correct answer after %.2f tries on average; none is selected for it\n", 100*correct, tries)
	base := r.baseRun()
	if err := r.trainBase(ctx, base); err != nil {
		return err
	}
	balance, err := lab.ReadBalance(filepath.Join(base.Dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	r.result.MaxVioMean = balance.Last(balanceWindows)
	fmt.Printf("balance of the experts: MaxVio %.2f at the start of base training, %.2f at its end (mean of %d windows of 8192 assignments a layer)\n",
		balance.First(balanceWindows), r.result.MaxVioMean, balanceWindows)
	return nil
}

func (r *experiment) trainBase(ctx context.Context, base lab.Base) error {
	bar := progress.New(r.scale.BaseSteps, "base model", "steps")
	defer bar.Close()
	first := firstStep(bar)
	base.OnStep = func(m train.Metrics) {
		first(m.Step)
		bar.Describe(fmt.Sprintf("base model, loss %.3f", m.Values[train.MetricLMLoss]))
		bar.Add(1)
	}
	base.Log = warnings(bar)
	return base.Train(ctx, r.m)
}

// firstStep returns a function that, called with the first step of a resumed
// run, says where the run went on.
func firstStep(bar *progress.Bar) func(step int) {
	called := false
	return func(step int) {
		if !called && step > 1 {
			bar.Skip(step - 1)
			fmt.Fprintf(bar, "continued from the checkpoint of step %d\n", step-1)
		}
		called = true
	}
}

// warnings logs what a run should not keep to itself: a damaged checkpoint, for
// one.
func warnings(bar *progress.Bar) *slog.Logger {
	return slog.New(slog.NewTextHandler(bar, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string,
		a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// balanceWindows is how many windows a printed MaxVio averages.
const balanceWindows = 10

func (r *experiment) describe() {
	_, active := r.m.Config.NumParams()
	r.result.Params, r.result.ActiveParams = r.m.Params.Len(), active
	fmt.Printf("model: %d parameters with its prediction module, %d active per token without; %s\n", r.result.Params,
		active, machine())
}

// learn is R1-Zero: evaluate, GRPO, evaluate again.
func (r *experiment) learn(ctx context.Context) error {
	gen, err := lab.NewGenerator(r.m, r.scale)
	if err != nil {
		return err
	}
	defer gen.Close()
	r.gen = gen
	began := time.Now()
	watch, end := progress.Watch("evaluating the base model", "problems")
	defer end()
	before, err := lab.EvaluateBase(ctx, filepath.Join(r.Out, "base", "evaluation.json"), r.m, gen, r.scale, watch)
	if err != nil {
		return err
	}
	r.result.Before = *before
	r.result.EvalSeconds = time.Since(began).Seconds()
	fmt.Printf("\nbefore: %s\n", before)

	if err := r.grpo(ctx); err != nil {
		return err
	}

	began = time.Now()
	watch, end = progress.Watch("evaluating the reasoner", "problems")
	defer end()
	after, err := lab.Evaluate(ctx, gen, r.scale, watch)
	if err != nil {
		return err
	}
	r.result.EvalSeconds += time.Since(began).Seconds()
	s := lab.Summarize(after, r.scale)
	r.result.Pass1After, r.result.Pass16After, r.result.Maj16After = s.Pass1, s.Pass16, s.Maj16
	r.result.LengthAfter, r.result.ChecksAfter = s.Length, s.Checks
	fmt.Printf("\nbefore: %s\nafter:  %s\n", before, s)
	fmt.Printf("pass@1 %+.1f points", 100*(s.Pass1-before.Pass1))
	if d := r.result.LogpDiffMax; d != nil {
		fmt.Printf("; rollout and trainer log-probabilities differ by at most %g", *d)
	}
	fmt.Println()
	fmt.Printf("\nthe same problem before:\n  %s\nand after:\n  %s\n", before.Transcript, s.Transcript)
	return nil
}

// grpo trains by GRPO, from the base model or from the newest checkpoint, and
// draws how it went.
func (r *experiment) grpo(ctx context.Context) error {
	began := time.Now()
	dir := filepath.Join(r.Out, "grpo")
	if err := r.trainGRPO(ctx, dir); err != nil {
		return err
	}
	r.result.RLSeconds = time.Since(began).Seconds()
	rows, err := run.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	const difference = rl.MetricSamplingDifferenceMax
	switch most, ok := rows.Max(difference); {
	case math.IsNaN(most):
		return fmt.Errorf("%s: %s is not finite", dir, difference)
	case ok:
		r.result.LogpDiffMax = &most
	}
	return lab.Draw(filepath.Join(r.Out, "curves.png"), rows)
}

func (r *experiment) trainGRPO(ctx context.Context, dir string) error {
	bar := progress.New(r.scale.RLSteps, "GRPO", "steps")
	defer bar.Close()
	t := &train.Trainer{Model: r.m, Dir: dir, Seed: r.Seed, Log: warnings(bar)}
	defer t.Close()
	g := lab.GRPO(t, r.gen, r.scale)
	g.Reward = suite()
	g.Shuffle = r.Control == "shuffled"
	g.Report = bar
	first := firstStep(bar)
	var rolled time.Time
	g.OnRollout = func(*rl.Rollout) { rolled = time.Now() }
	g.OnStep = func(m train.Metrics) {
		first(m.Step)
		updates := time.Since(rolled)
		r.result.UpdateSeconds += updates.Seconds()
		r.result.RolloutSeconds += (m.Time - updates).Seconds()
		v := m.Values
		bar.Describe(fmt.Sprintf("GRPO, reward %.2f, length %.0f", v[rl.MetricReward], v[rl.MetricMeanLength]))
		bar.Add(1)
		if every := max(r.scale.RLSteps/10, 1); m.Step%every == 0 {
			fmt.Fprintf(bar, "step %3d: reward %.3f, correct %.3f, length %.1f, truncated %.2f, entropy %.3f, dead groups %.2f\n",
				m.Step, v[rl.MetricReward], v[reward.MetricMean("countdown")], v[rl.MetricMeanLength],
				v[rl.MetricTruncated], v[rl.MetricEntropy], v[rl.MetricRewardZeroStd])
		}
	}
	g.OnAlarm = func(step int, alarms []string) {
		for _, a := range alarms {
			fmt.Fprintf(bar, "step %3d: ALARM: %s\n", step, a)
		}
	}
	err := errors.Join(g.Run(ctx), g.Close())
	r.result.RLSteps = g.StepCount()
	return err
}

// suite gives the rewards; a variable, so that tests of models too small to
// earn any can put others in their place.
var suite = lab.Reward

// setAside moves the GRPO run in an output folder, finished or abandoned, out of
// the way, with its settings, curves and model: nothing is deleted. A folder that another
// program is using stays where it is.
func setAside(out string) error {
	dir := filepath.Join(out, "grpo")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := run.Lock(dir)
	if err != nil {
		return err
	}
	if err := lock.Close(); err != nil { // Windows moves no folder of open files
		return err
	}
	to := ""
	for i := 1; ; i++ {
		to = fmt.Sprintf("%s-%d", dir, i)
		if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err := os.Rename(dir, to); err != nil {
		return err
	}
	for _, name := range []string{"config.json", "curves.png", modelFolder} {
		if err := os.Rename(filepath.Join(out, name), filepath.Join(to, name)); err != nil && !errors.Is(err,
			fs.ErrNotExist) {
			return err
		}
	}
	fmt.Printf("the GRPO run in %s is kept as %s\n", dir, to)
	return nil
}
