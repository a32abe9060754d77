package distill

import (
	"context"
	"fmt"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

// Problem is one prompt with what its reward needs.
type Problem struct {
	IDs    []int32 // prompt tokens
	Prompt string  // prompt text, for the reward
	Answer any     // gold answer or task data, for the reward
}

// Sampler says how traces are drawn from the teacher.
type Sampler struct {
	PerProblem int // completions sampled per problem; 0 means 4
	MaxTokens  int // most new tokens of one
	Sampling   model.Sampling
	Seed       uint64
	// Decode turns completion tokens, without the stop token, into the text the
	// reward reads.
	Decode func([]int32) string
	// Threshold is the least total reward of a trace that is kept.
	Threshold float64
	// Keep bounds the traces kept per problem, in the order sampled; 0 means all.
	Keep int
}

// Trace is one completion that was kept.
type Trace struct {
	Problem int // index of its problem
	Model   model.Sequence
}

// Collection is the outcome of sampling a teacher.
type Collection struct {
	Traces  []Trace
	Sampled int // completions drawn
	Tokens  int // tokens drawn
	Failed  int // completions no reward function could score
}

// Sequences are the traces' training sequences: only response tokens have
// weight.
func (c Collection) Sequences() []model.Sequence {
	out := make([]model.Sequence, len(c.Traces))
	for i, t := range c.Traces {
		out[i] = t.Model
	}
	return out
}

// Collect samples the teacher behind g on all problems and keeps the complete
// traces that reach the threshold: rejection sampling. What is kept depends on
// the seed and the weights alone.
func (s Sampler) Collect(ctx context.Context, g *model.Generator, problems []Problem, judge *reward.Suite) (Collection, error) {
	n := s.PerProblem
	if n == 0 {
		n = 4
	}
	var requests []model.Request
	for i, p := range problems {
		for j := range n {
			requests = append(requests, model.Request{
				Prompt: p.IDs, MaxTokens: s.MaxTokens, Sampling: s.Sampling,
				Seed: model.DeriveSeed(s.Seed, "distill", i, j),
			})
		}
	}
	outs, err := g.Generate(ctx, requests)
	if err != nil {
		return Collection{}, fmt.Errorf("distill: sampling the teacher: %w", err)
	}
	samples := make([]reward.Sample, len(outs))
	for i, o := range outs {
		text := o.Tokens
		if o.Finish == model.Stopped {
			text = text[:len(text)-1]
		}
		p := problems[i/n]
		samples[i] = reward.Sample{
			Prompt: p.Prompt, Completion: s.Decode(text), Answer: p.Answer,
			Truncated: o.Finish == model.Truncated, Group: i / n, Tokens: len(o.Tokens),
		}
	}
	scores, err := judge.Score(ctx, samples)
	if err != nil {
		return Collection{}, fmt.Errorf("distill: judging traces: %w", err)
	}
	c := Collection{Sampled: len(outs)}
	kept := make([]int, len(problems))
	for i, o := range outs {
		c.Tokens += len(o.Tokens)
		v := scores.Totals[i]
		switch {
		case !v.Status.Scored():
			c.Failed++
		case v.Value < s.Threshold || o.Finish == model.Truncated || s.Keep > 0 && kept[i/n] == s.Keep:
		default:
			kept[i/n]++
			c.Traces = append(c.Traces, Trace{Problem: i / n, Model: Response(problems[i/n].IDs, o.Tokens)})
		}
	}
	return c, nil
}

// Response is a training sequence whose loss counts the response only.
func Response(prompt, response []int32) model.Sequence {
	ids := append(append(make([]int32, 0, len(prompt)+len(response)), prompt...), response...)
	w := make([]float32, len(ids)-1)
	for i := len(prompt) - 1; i < len(w); i++ {
		w[i] = 1
	}
	return model.Sequence{IDs: ids, Weight: w}
}
