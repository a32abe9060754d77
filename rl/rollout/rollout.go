package rollout

import (
	"context"
	"fmt"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

// Prompt is one problem.
type Prompt struct {
	IDs []int32 // the tokens of the prompt
	// Text is the prompt as reward functions see it.
	Text string
	// Prefill is the beginning of the answer that the prompt already contains,
	// such as "<think>\n"; reward functions see it before the completion.
	Prefill string
	// Answer is the gold answer or task data for the reward functions.
	Answer any
	// Source names the data set, for the metrics of an evaluation.
	Source string
}

// Name returns the beginning of the prompt's text, quoted, for error messages.
func (p Prompt) Name() string {
	const most = 40
	if text := []rune(p.Text); len(text) > most {
		return fmt.Sprintf("%q…", string(text[:most]))
	}
	return fmt.Sprintf("%q", p.Text)
}

// Sample is one completion of a prompt.
type Sample struct {
	Prompt int     // index of its prompt, which is Draw.First for the first prompt of a call
	IDs    []int32 // tokens, including the stop token
	// LogProbs holds the log-probabilities of IDs under the Policy, recorded during
	// sampling.
	LogProbs []float64
	// Experts holds the experts that each token of prompt and completion, except the last, was
	// routed to; see model.Completion. It is nil unless Policy.Experts is set.
	Experts []uint16
	Finish  model.Finish
	Text    string // Prefill and the decoded completion, which reward functions read
}

// Draw sets the number of completions of each prompt and the random seed.
type Draw struct {
	Seed  uint64 // seeds the sampling, together with the indices of prompt and completion
	First int    // index of the call's first prompt among all prompts of the caller
	N     int    // number of completions of each prompt; at least 1
}

// Policy is the distribution that completions are sampled from. A trainer computes
// log-probabilities under the same distribution.
type Policy struct {
	Model *model.Model // the model that is trained or evaluated
	// Drawn is the model that generates for Model, with its weights and in another precision
	// or form of MLA. If nil, Model itself generates.
	Drawn     *model.Model
	Experts   bool // samples have Experts
	Sampling  model.Sampling
	Stop      []int32 // tokens that end a completion; nil means the config's eos_token_id
	MaxTokens int     // longest completion, including the stop token
}

// Sampler generates completions.
type Sampler interface {
	// Sample generates d.N completions of every prompt; completion i of prompt p has the
	// index p·N + i. A completion depends only on the policy, its prompt, d.Seed, i and the
	// index of its prompt, d.First + p, not on other prompts of the call.
	Sample(ctx context.Context, prompts []Prompt, d Draw) ([]Sample, error)
	// Check returns the error that Sample would return for an invalid field of the sampler
	// or an invalid prompt.
	Check(prompts []Prompt) error
	// Policy returns the distribution that Sample samples from. It must not change during a
	// run.
	Policy() Policy
}

// Rewardable converts samples to the form that reward functions take. Sample.Prompt must be
// an index of prompts.
func Rewardable(prompts []Prompt, samples []Sample) []reward.Sample {
	out := make([]reward.Sample, len(samples))
	for i, s := range samples {
		p := prompts[s.Prompt]
		out[i] = reward.Sample{
			Prompt: p.Text, Completion: s.Text, Answer: p.Answer,
			Truncated: s.Finish == model.Truncated, Group: s.Prompt,
			PromptIDs: p.IDs, IDs: s.IDs,
		}
	}
	return out
}
