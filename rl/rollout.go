package rl

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

// Prompt is one problem.
type Prompt struct {
	IDs []int32 // what the model reads
	// Text is what reward functions see as the prompt.
	Text string
	// Prefill is the beginning of the answer that the prompt already contains,
	// such as "<think>\n"; reward functions see it before the completion.
	Prefill string
	// Answer is the gold answer or task data for the reward functions.
	Answer any
	// Source names the data set, for the metrics of an evaluation.
	Source string
}

// Sample is one completion of a prompt and what became of it.
type Sample struct {
	Prompt int // index of its prompt in the batch: its group
	IDs    []int32
	// LogProbs are log π_old of IDs, written down while they were sampled.
	LogProbs []float64
	Finish   model.Finish
	Text     string // what the reward functions saw: Prefill and the decoded completion

	Reward    reward.Verdict // total of the suite; shuffled where GRPO.Shuffle says so
	Advantage float64
	// InLoss is false for samples without a reward, for truncated ones under
	// GRPO.MaskTruncated and for groups skipped under GRPO.SkipZeroStd.
	InLoss bool
}

// Sampler writes completions. Draws come from the whole distribution, without
// top-k or top-p: the log-probabilities are then those of the loss.
type Sampler struct {
	Generator *model.Generator
	// Decode turns completion tokens, without the stop token, to text.
	Decode func(ids []int32) string
	// Stop are the tokens that end a completion; nil means the config's
	// eos_token_id.
	Stop        []int32
	MaxTokens   int     // longest completion, the stop token included; at least 1
	Temperature float64 // 0 means 1; else at least model.MinTemperature
}

// Sample writes g completions of every prompt, sample i of prompt p at p·g + i.
// A completion is a function of the weights, its prompt, the sampler's settings
// and (seed, p, i), whatever else is in the batch.
func (s *Sampler) Sample(ctx context.Context, seed uint64, g int, prompts []Prompt) ([]Sample, error) {
	return s.sample(ctx, seed, 0, g, prompts)
}

// sample is Sample for the part of a batch that begins at prompt base.
func (s *Sampler) sample(ctx context.Context, seed uint64, base, g int, prompts []Prompt) ([]Sample, error) {
	if g < 1 {
		return nil, fmt.Errorf("rl: Sampler: %d completions of each prompt, want 1 or more", g)
	}
	if err := s.Validate(prompts); err != nil {
		return nil, err
	}
	requests := make([]model.Request, 0, g*len(prompts))
	for p, prompt := range prompts {
		for i := range g {
			requests = append(requests, model.Request{
				Prompt: prompt.IDs, MaxTokens: s.MaxTokens, Stop: s.Stop,
				Sampling: model.Sampling{Temperature: s.temperature()},
				Seed:     model.DeriveSeed(seed, "completion", base+p, i),
			})
		}
	}
	completions, err := s.Generator.Generate(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("rl: %d completions of %d prompts: %w", g, len(prompts), err)
	}
	samples := make([]Sample, len(completions))
	for i, c := range completions {
		samples[i] = Sample{Prompt: base + i/g, IDs: c.Tokens, LogProbs: c.LogProbs, Finish: c.Finish}
		samples[i].Text = prompts[i/g].Prefill + s.Decode(samples[i].body())
	}
	return samples, nil
}

func (s *Sampler) temperature() float64 {
	if s.Temperature == 0 {
		return 1
	}
	return s.Temperature
}

// body is the completion without its stop token.
func (s *Sample) body() []int32 {
	if s.Finish == model.Stopped {
		return s.IDs[:len(s.IDs)-1]
	}
	return s.IDs
}

// rewardSamples are the samples as the reward functions see them.
func rewardSamples(prompts []Prompt, samples []Sample) []reward.Sample {
	out := make([]reward.Sample, len(samples))
	for i, s := range samples {
		p := prompts[s.Prompt]
		out[i] = reward.Sample{
			Prompt: p.Text, Completion: s.Text, Answer: p.Answer,
			Truncated: s.Finish == model.Truncated, Group: s.Prompt, Tokens: len(s.IDs),
		}
	}
	return out
}

// lengthMetrics are TRL's completions/… metrics of samples: lengths in tokens,
// the same of those that ended by themselves (0 if none did), and the share of
// the others.
func lengthMetrics(samples []Sample) map[string]float64 {
	var all, terminated []int
	for _, s := range samples {
		all = append(all, len(s.IDs))
		if s.Finish == model.Stopped {
			terminated = append(terminated, len(s.IDs))
		}
	}
	a, t := summarize(all), summarize(terminated)
	return map[string]float64{
		MetricMeanLength: a.sum / float64(len(all)), MetricMinLength: a.min, MetricMaxLength: a.max,
		MetricMeanTerminatedLength: t.sum / float64(max(len(terminated), 1)),
		MetricMinTerminatedLength:  t.min, MetricMaxTerminatedLength: t.max,
		MetricTruncated: 1 - float64(len(terminated))/float64(len(all)),
	}
}

// shuffle permutes the rewards of a batch: the control that must not learn.
func shuffle(samples []Sample, seed uint64) {
	rewards := make([]reward.Verdict, len(samples))
	for i := range samples {
		rewards[i] = samples[i].Reward
	}
	for i, from := range rand.New(rand.NewPCG(seed, 0)).Perm(len(samples)) {
		samples[i].Reward = rewards[from]
	}
}
