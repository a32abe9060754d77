package rollout

import (
	"context"
	"fmt"

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

// Name is the beginning of the prompt's text, quoted, for error messages.
func (p Prompt) Name() string {
	const most = 40
	if text := []rune(p.Text); len(text) > most {
		return fmt.Sprintf("%q…", string(text[:most]))
	}
	return fmt.Sprintf("%q", p.Text)
}

// Sample is one completion of a prompt.
type Sample struct {
	Prompt int     // place of its prompt: Draw.First for the first one of a call
	IDs    []int32 // tokens, the stop token included
	// LogProbs are the log-probabilities of IDs under the Policy, written down
	// while they were drawn.
	LogProbs []float64
	// Experts are those that each token of prompt and completion but the last was routed to,
	// see model.Completion; nil unless Policy.Experts is set.
	Experts []uint16
	Finish  model.Finish
	Text    string // what reward functions read: Prefill and the decoded completion
}

// Draw says how many completions are drawn of each prompt, and with which random
// numbers.
type Draw struct {
	Seed  uint64 // keys the draws, together with the places of prompt and completion
	First int    // place of the first prompt among all of the caller's, of which a call may have a part
	N     int    // completions of each prompt; at least 1
}

// Policy is the distribution that completions are drawn from. A trainer scores
// them under the same.
type Policy struct {
	Model *model.Model // the one that is trained or evaluated
	// Drawn is the model that draws in Model's place: with its weights, and in another
	// precision or form. nil means Model itself.
	Drawn     *model.Model
	Experts   bool // samples carry Experts
	Sampling  model.Sampling
	Stop      []int32 // tokens that end a completion; nil means the config's eos_token_id
	MaxTokens int     // longest completion, the stop token included
}

// Sampler writes completions.
type Sampler interface {
	// Sample writes d.N completions of every prompt: completion i of prompt p is at
	// p·N + i. One is a function of the policy, its prompt, d.Seed, i and the place
	// of its prompt, d.First + p, whatever else is in the call.
	Sample(ctx context.Context, prompts []Prompt, d Draw) ([]Sample, error)
	// Check reports the first thing that Sample would refuse: a field of the
	// sampler's own or, with its place, one of prompts.
	Check(prompts []Prompt) error
	// Policy is what Sample draws from. It does not change while a run goes on.
	Policy() Policy
}

// Rewardable are samples as the reward functions see them. Their places count
// from the first of prompts.
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
