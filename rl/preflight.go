package rl

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// Preflight checks a run before it costs anything. It samples one group of completions and
// writes to w the exact prompt of the first problem, one completion, and the verdict of
// every reward function on it. It returns an error if no sample of the group gets a reward.
//
// Preflight changes neither the run nor any file, and does not resume: before Run or Step
// it uses the model's current weights and the prompts of step 0, even if Trainer.Dir has a
// checkpoint.
func (g *GRPO) Preflight(ctx context.Context, w io.Writer) error {
	if err := g.check(); err != nil {
		return err
	}
	prompts, err := g.prompts(g.batches)
	if err != nil {
		return err
	}
	prompts = prompts[:1]
	samples, err := rollout.Complete(ctx, g.Sampler, prompts, rollout.Draw{Seed: g.seed("preflight"), N: g.groupSize()})
	if err != nil {
		return err
	}
	scores, err := g.Reward.Score(ctx, rollout.Rewardable(prompts, samples))
	if err != nil {
		return err
	}
	p, s := prompts[0], samples[0]
	end := "stopped by itself"
	if s.Finish == model.Truncated {
		end = "truncated"
	}
	fmt.Fprintf(w, "prompt: %d tokens %v\n%q\n", len(p.IDs), p.IDs, p.Text)
	fmt.Fprintf(w, "completion: %d tokens %v, %s\n%q\n", len(s.IDs), s.IDs, end, s.Text)
	for f, name := range scores.Functions {
		v := scores.Verdicts[f][0]
		fmt.Fprintf(w, "rewards/%s: %g, %v", name, v.Value, v.Status)
		if v.Err != nil {
			fmt.Fprintf(w, " (%v)", v.Err)
		}
		fmt.Fprintln(w)
	}
	total := scores.Totals[0]
	fmt.Fprintf(w, "reward: %g, %v\n", total.Value, total.Status)
	for _, v := range scores.Totals {
		if v.Status.Scored() {
			return nil
		}
	}
	reason := total.Err
	if reason == nil {
		reason = errors.New("no function applies")
	}
	return fmt.Errorf("rl: preflight: none of %d samples got a reward, the first: %w", len(samples), reason)
}
