package distill

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// Rejection is rejection sampling: it samples several completions of every prompt from a
// teacher and keeps the correct ones as traces.
type Rejection struct {
	Sampler rollout.Sampler // samples from the teacher; required
	// Reward judges the completions. A trace is kept if its total has the status Correct,
	// which requires that status of every function that applies.
	Reward       *reward.Suite
	N            int    // completions per prompt; 0 means 4
	MaxPerPrompt int    // largest number of traces kept per prompt, the first ones sampled; 0 means all
	Seed         uint64 // seed of the sampling; a prompt's draws also depend on its index
	// Progress is called from time to time with the number of prompts done. It may be nil.
	Progress func(done, total int)
}

// Trace is a completion that was kept.
type Trace struct {
	Prompt int     // index of its prompt
	IDs    []int32 // the completion, its stop token included
	Text   string  // the text that the reward was given
}

// Collection is the result of rejection sampling.
type Collection struct {
	Prompts   []rollout.Prompt
	Traces    []Trace // in the order of the prompts
	Sampled   int     // completions written
	Tokens    int     // tokens in all completions
	Truncated int     // completions that reached the sampler's MaxTokens; they are never kept
	// Failed is the number of completions on which a reward function failed (timeout,
	// error) or to which none applied. They are not kept. Failure is the reason for the
	// first of them.
	Failed  int
	Failure error
}

// chunk is the number of prompts sampled at once; Progress is called after each chunk. It
// is a constant because the random draws depend on the chunk.
const chunk = 256

// Collect samples and judges. The result depends on the weights, the prompts and the fields
// of r only, provided that the reward is deterministic.
func (r *Rejection) Collect(ctx context.Context, prompts []rollout.Prompt) (*Collection, error) {
	if err := r.validate(prompts); err != nil {
		return nil, err
	}
	n := cmp.Or(r.N, 4)
	c := &Collection{Prompts: prompts}
	for at := 0; at < len(prompts); at += chunk {
		part := prompts[at:min(at+chunk, len(prompts))]
		draw := rollout.Draw{Seed: model.DeriveSeed(r.Seed, "rejection sampling", at), N: n}
		samples, err := rollout.Complete(ctx, r.Sampler, part, draw)
		if err != nil {
			return nil, fmt.Errorf("distill: sampling the teacher: %w", err)
		}
		scores, err := r.Reward.Score(ctx, rollout.Rewardable(part, samples))
		if err != nil {
			return nil, fmt.Errorf("distill: judging the teacher: %w", err)
		}
		kept := make([]int, len(part))
		for i, s := range samples {
			v := scores.Totals[i]
			c.count(s, v)
			room := r.MaxPerPrompt == 0 || kept[s.Prompt] < r.MaxPerPrompt
			if v.Status == reward.Correct && s.Finish == model.Stopped && room {
				kept[s.Prompt]++
				c.Traces = append(c.Traces, Trace{Prompt: at + s.Prompt, IDs: s.IDs, Text: s.Text})
			}
		}
		if r.Progress != nil {
			r.Progress(at+len(part), len(prompts))
		}
	}
	return c, nil
}

// validate returns an error, before anything is sampled, for fields and prompts that
// Collect cannot use.
func (r *Rejection) validate(prompts []rollout.Prompt) error {
	switch {
	case r.N < 0:
		return fmt.Errorf("distill: Rejection.N is %d, want 0 or more", r.N)
	case r.MaxPerPrompt < 0:
		return fmt.Errorf("distill: Rejection.MaxPerPrompt is %d, want 0 or more", r.MaxPerPrompt)
	case r.Reward == nil:
		return errors.New("distill: Rejection.Reward is nil")
	case r.Sampler == nil:
		return errors.New("distill: Rejection.Sampler is nil")
	}
	if err := cmp.Or(r.Reward.Validate(), r.Sampler.Check(prompts)); err != nil {
		return fmt.Errorf("distill: Rejection: %w", err)
	}
	return nil
}

func (c *Collection) count(s rollout.Sample, v reward.Verdict) {
	c.Sampled++
	c.Tokens += len(s.IDs)
	if s.Finish == model.Truncated {
		c.Truncated++
	}
	if v.Status.Scored() {
		return
	}
	c.Failed++
	if c.Failure == nil {
		c.Failure = cmp.Or(v.Err, errors.New("no reward function applies"))
	}
}

// Sequences returns the traces as training sequences.
func (c *Collection) Sequences() []model.Sequence {
	out := make([]model.Sequence, len(c.Traces))
	for i, t := range c.Traces {
		out[i] = Response(c.Prompts[t.Prompt].IDs, t.IDs)
	}
	return out
}

// Response returns prompt and response as one training sequence, in which the tokens of the
// response have weight 1 and those of the prompt 0.
func Response(prompt, response []int32) model.Sequence {
	q := model.Sequence{IDs: append(append(make([]int32, 0, len(prompt)+len(response)), prompt...), response...)}
	q.Weight = make([]float32, q.Rows())
	for i := max(len(prompt)-1, 0); i < len(q.Weight); i++ { // row i predicts token i+1
		q.Weight[i] = 1
	}
	return q
}
