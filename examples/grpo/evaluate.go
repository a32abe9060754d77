package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/rollout"
)

// measure evaluates the model on held-out problems, with the same problems and seeds at each
// call.
func (t *training) measure(ctx context.Context, g *rl.GRPO, shown func(done, total int)) (*rl.EvalResult, error) {
	c := t.config
	sampling := model.Sampling{Greedy: true}
	if c.EvalSamples > 1 {
		sampling = model.Sampling{Temperature: 0.6, TopP: 0.95} // as DeepSeek-R1 was evaluated
	}
	e := rl.Evaluation{
		Sampler: t.sampler(g.Sampler.(*rollout.Generator).Generator, sampling), Reward: g.Reward, N: c.EvalSamples,
		Seed: t.Seed, Progress: shown,
	}
	if rule := c.Rewards.correct(); rule != nil {
		e.Correct = rule.Name
	}
	began := time.Now()
	r, err := e.Run(ctx, t.data.held[:min(c.EvalProblems, len(t.data.held))])
	if err == nil {
		t.evaluation = time.Since(began)
	}
	return r, err
}

// evaluate evaluates the model and prints its accuracy. It returns nil if eval_problems is 0.
func (t *training) evaluate(ctx context.Context, g *rl.GRPO, what string) (*float64, error) {
	if t.config.EvalProblems == 0 {
		return nil, nil
	}
	shown, end := progress.Watch(what, "problems")
	defer end()
	r, err := t.measure(ctx, g, shown)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("evaluation stopped, the training so far is saved: %w", context.Cause(ctx))
	} else if err != nil {
		return nil, err
	}
	end()
	a := accuracy(r)
	fmt.Printf("%s: accuracy %.1f%% of %d\n", what, 100*a, len(r.Samples))
	return &a, nil
}

// accuracy returns the share of correct samples over all sources.
func accuracy(r *rl.EvalResult) float64 {
	right, n := 0.0, 0.0
	for _, s := range r.Sources {
		right, n = right+s.Mean*float64(s.Prompts), n+float64(s.Prompts)
	}
	return right / n
}

// show prints one sample of a rollout every samples_every steps.
func (t *training) show(w io.Writer, r *rl.Rollout) {
	every := t.config.SamplesEvery
	if every == 0 || (r.Step+1)%every != 0 {
		return
	}
	const most = 400 // characters
	text := []rune(r.Samples[0].Text)
	cut := ""
	if len(text) > most {
		text, cut = text[:most], "…"
	}
	var said []string
	for f, name := range r.Scores.Functions {
		v := r.Scores.Verdicts[f][0]
		said = append(said, fmt.Sprintf("%s %g (%v)", name, v.Value, v.Status))
	}
	fmt.Fprintf(w, "step %d, a sample of %d tokens: %q%s\n%s\n", r.Step+1, len(r.Samples[0].IDs), string(text), cut,
		strings.Join(said, ", "))
}
