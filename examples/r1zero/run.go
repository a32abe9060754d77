package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// run is one run from base model to report.
type run struct {
	options
	scale  lab.Scale
	b      backend.Backend
	m      *model.Model
	gen    *model.Generator
	screen screen
	result result
}

// result is the JSON object of -json.
type result struct {
	lab.Before
	Pass1After    float64 `json:"pass1_after"`
	Pass16After   float64 `json:"pass16_after"`
	Maj16After    float64 `json:"maj16_after"`
	LengthAfter   float64 `json:"length_after"`
	ChecksAfter   float64 `json:"self_checks_after"`
	Seconds       float64 `json:"seconds"`
	BaseSeconds   float64 `json:"base_seconds"`
	EvalSeconds   float64 `json:"eval_seconds"`
	RLSeconds     float64 `json:"rl_seconds"`
	RLSteps       int     `json:"rl_steps"`
	Params        int     `json:"params"`
	ActiveParams  int64   `json:"active_params"`
	LogpDiffMax   *float64 `json:"logp_diff_max"` // nil where no step had anything to learn from
	MaxVioMean    float64 `json:"maxvio_mean"`
	WeightsSHA256 string  `json:"weights_sha256"`
	Seed          uint64  `json:"seed"`
	Control       string  `json:"control,omitempty"`
	Out           string  `json:"out"`
}

func (r *run) all(ctx context.Context) error {
	began := time.Now()
	config := lab.Teacher()
	m, err := model.New(r.b, config, r.Seed)
	if err != nil {
		return err
	}
	r.m = m
	if err := r.writeConfig(config); err != nil {
		return err
	}
	if err := r.base(ctx); err != nil {
		return err
	}
	r.result.BaseSeconds = time.Since(began).Seconds()
	r.describe()
	if r.Control != "unbalanced" {
		if err := r.learn(ctx); err != nil {
			return err
		}
	}
	sum, err := train.WeightsSHA256(m.Params.All())
	if err != nil {
		return err
	}
	r.result.WeightsSHA256 = sum
	r.result.Seconds = time.Since(began).Seconds()
	r.result.Seed, r.result.Control, r.result.Out = r.Seed, r.Control, r.Out
	fmt.Printf("\ntime: base %.0f s, evaluation %.0f s, GRPO %.0f s, all %.0f s\nweights %s in %s\n",
		r.result.BaseSeconds, r.result.EvalSeconds, r.result.RLSeconds, r.result.Seconds, sum[:16], r.Out)
	return nil
}

// writeConfig puts everything that decides the run's result to config.json. A
// folder with another configuration is refused, with what differs.
func (r *run) writeConfig(c model.Config) error {
	if err := os.MkdirAll(r.Out, 0o777); err != nil {
		return err
	}
	resolved := struct {
		options
		Scale lab.Scale    `json:"scale"`
		Model model.Config `json:"model"`
	}{r.options, r.scale, c}
	return lab.Settle(filepath.Join(r.Out, "config.json"), resolved)
}

// base trains the base model, or loads the one in the output folder.
func (r *run) base(ctx context.Context) error {
	corpus := lab.Corpus(r.Seed)
	correct, tries := corpus.CorrectShare(20000)
	fmt.Printf("base text: %.1f%% of its traces end in a correct answer after %.2f tries on average; none is selected for it\n", 100*correct, tries)
	bar := progress.New(r.scale.BaseSteps, "base model", "steps")
	base := lab.Base{Dir: filepath.Join(r.Out, "base"), Seed: r.Seed, Scale: r.scale, Unbalanced: r.Control == "unbalanced"}
	base.OnStep = func(m train.Metrics) {
		bar.Add(1)
		bar.Describe(fmt.Sprintf("base model, loss %.3f", m.Values["lm_loss"]))
	}
	if err := base.Train(ctx, r.m); err != nil {
		return err
	}
	bar.Close()
	balance, err := lab.ReadBalance(filepath.Join(base.Dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	r.result.MaxVioMean = balance.Last(balanceWindows)
	fmt.Printf("balance of the experts: MaxVio %.2f at the start of base training, %.2f at its end (mean of %d windows of 8192 assignments a layer)\n",
		balance.First(balanceWindows), r.result.MaxVioMean, balanceWindows)
	return nil
}

// balanceWindows is how many windows a printed MaxVio averages.
const balanceWindows = 10

func (r *run) describe() {
	_, active := r.m.Config.NumParams()
	r.result.Params, r.result.ActiveParams = r.m.Params.Len(), active
	fmt.Printf("model: %d parameters with its prediction module, %d active per token without; %s\n", r.result.Params, active, machine())
}

// learn is R1-Zero: evaluate, GRPO, evaluate again.
func (r *run) learn(ctx context.Context) error {
	gen, err := lab.NewGenerator(r.m, r.scale)
	if err != nil {
		return err
	}
	defer gen.Close()
	r.gen = gen
	began := time.Now()
	before, err := lab.EvaluateBase(ctx, filepath.Join(r.Out, "base", "evaluation.json"), r.m, gen, r.scale, r.watch("evaluating the base model"))
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
	after, err := lab.Evaluate(ctx, gen, r.scale, r.watch("evaluating the reasoner"))
	if err != nil {
		return err
	}
	r.result.EvalSeconds += time.Since(began).Seconds()
	s := lab.Summarize(after, r.scale)
	r.result.Pass1After, r.result.Pass16After, r.result.Maj16After = s.Pass1, s.Pass16, s.Maj16
	r.result.LengthAfter, r.result.ChecksAfter = s.Length, s.Checks
	fmt.Printf("\nbefore: %s\nafter:  %s\n", before, s)
	fmt.Printf("pass@1 %+.1f points; rollout and trainer log-probabilities differ by at most %g\n", 100*(s.Pass1-before.Pass1), r.result.LogpDiffMax)
	fmt.Printf("\nthe same problem before:\n  %s\nand after:\n  %s\n", before.Transcript, s.Transcript)
	return nil
}

// watch is a progress line over problems.
func (r *run) watch(what string) func(done, total int) {
	bar, at := progress.New(r.scale.Problems, what, "problems"), 0
	return func(done, total int) {
		bar.Add(done - at)
		at = done
		if done == total {
			bar.Close()
		}
	}
}

// grpo trains by GRPO: from the base model, or with -resume from the newest
// checkpoint.
func (r *run) grpo(ctx context.Context) error {
	dir := filepath.Join(r.Out, "grpo")
	if !r.Resume {
		if err := setAside(dir); err != nil {
			return err
		}
	}
	began := time.Now()
	t := &train.Trainer{Model: r.m, Dir: dir, Seed: r.Seed}
	defer t.Close()
	g := lab.GRPO(t, r.gen, r.scale)
	g.Shuffle = r.Control == "shuffled"
	g.Report = io.Discard
	if !r.Resume {
		g.Report = os.Stdout
	}
	bar := progress.New(r.scale.RLSteps, "GRPO", "steps")
	g.OnStep = func(m train.Metrics) {
		v := m.Values
		bar.Add(1)
		bar.Describe(fmt.Sprintf("GRPO, reward %.2f, length %.0f", v["reward"], v["completions/mean_length"]))
		if every := max(r.scale.RLSteps/10, 1); m.Step%every == 0 {
			fmt.Printf("step %3d: reward %.3f, correct %.3f, length %.1f, truncated %.2f, entropy %.3f, dead groups %.2f\n",
				m.Step, v["reward"], v["rewards/countdown/mean"], v["completions/mean_length"], v["completions/clipped_ratio"], v["entropy"], v["frac_reward_zero_std"])
		}
	}
	g.OnAlarm = func(step int, alarms []string) {
		for _, a := range alarms {
			fmt.Printf("step %3d: ALARM: %s\n", step, a)
		}
	}
	if err := g.Run(ctx); err != nil {
		return err
	}
	bar.Close()
	r.result.RLSeconds, r.result.RLSteps = time.Since(began).Seconds(), g.StepCount()
	rows, err := lab.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	r.result.LogpDiffMax = rows.Max("sampling/sampling_logp_difference/max")
	return lab.Draw(filepath.Join(r.Out, "curves.png"), rows)
}

// setAside moves a finished or abandoned GRPO run out of the way: nothing is
// deleted.
func setAside(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := 1; ; i++ {
		to := fmt.Sprintf("%s-%d", dir, i)
		if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
			fmt.Printf("the GRPO run in %s is kept as %s\n", dir, to)
			return os.Rename(dir, to)
		}
	}
}
