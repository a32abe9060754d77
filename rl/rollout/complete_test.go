package rollout_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/aha-go/aha/rl/rollout"
)

// spoiled is a Sampler whose samples are changed before it returns them.
type spoiled struct {
	rollout.Sampler
	spoil func(s []rollout.Sample) []rollout.Sample
}

func (s spoiled) Sample(ctx context.Context, prompts []rollout.Prompt, d rollout.Draw) ([]rollout.Sample, error) {
	samples, err := s.Sampler.Sample(ctx, prompts, d)
	return s.spoil(samples), err
}

func TestCompleteRefusesWhatASamplerMustNotReturn(t *testing.T) {
	g := newGenerator(t)
	first := func(fn func(s *rollout.Sample)) func(s []rollout.Sample) []rollout.Sample {
		return func(s []rollout.Sample) []rollout.Sample {
			fn(&s[0])
			return s
		}
	}
	long := func(n int) func(s []rollout.Sample) []rollout.Sample {
		return first(func(s *rollout.Sample) { s.IDs, s.LogProbs = make([]int32, n), make([]float64, n) })
	}
	d := rollout.Draw{Seed: 1, First: 5, N: 2}
	for want, spoil := range map[string]func(s []rollout.Sample) []rollout.Sample{
		"": func(s []rollout.Sample) []rollout.Sample { return s },
		"returned 5 samples, want 2 of each of 3 prompts": func(s []rollout.Sample) []rollout.Sample { return s[1:] },
		"returned 0 samples":                              func([]rollout.Sample) []rollout.Sample { return nil },
		"sample 0 is of prompt 0, want 5":                 first(func(s *rollout.Sample) { s.Prompt = 0 }),
		"sample 0 has 0 tokens":                           first(func(s *rollout.Sample) { s.IDs = nil }),
		"and 0 log-probabilities":                         first(func(s *rollout.Sample) { s.LogProbs = nil }),
		"has the log-probability NaN of token 0":          first(func(s *rollout.Sample) { s.LogProbs[0] = math.NaN() }),
		"has the log-probability -Inf of token 0":         first(func(s *rollout.Sample) { s.LogProbs[0] = math.Inf(-1) }),
		"has 16 as token 0, vocab_size is 16":             first(func(s *rollout.Sample) { s.IDs[0] = 16 }),
		"has -1 as token 0":                               first(func(s *rollout.Sample) { s.IDs[0] = -1 }),
		"sample 0 has 13 tokens, Policy.MaxTokens is 12":  long(13),
	} {
		samples, err := rollout.Complete(t.Context(), spoiled{g, spoil}, prompts, d)
		switch {
		case want == "" && (err != nil || len(samples) != 6):
			t.Errorf("%d samples, error %v", len(samples), err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// boundless is a Sampler whose policy has no MaxTokens.
type boundless struct{ spoiled }

func (b boundless) Policy() rollout.Policy {
	p := b.Sampler.Policy()
	p.MaxTokens = 0
	return p
}

func TestCompleteRefusesWhatTheModelCannotRead(t *testing.T) {
	g := newGenerator(t)
	for n, want := range map[int]string{31: "", 32: "has 34 tokens with its prompt, max_position_embeddings is 32"} {
		s := boundless{spoiled{g, func(s []rollout.Sample) []rollout.Sample {
			s[0].IDs, s[0].LogProbs = make([]int32, n), make([]float64, n)
			return s
		}}}
		_, err := rollout.Complete(t.Context(), s, prompts[:1], rollout.Draw{N: 1})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d tokens: error %v, want %q", n, err, want)
		}
	}
}
