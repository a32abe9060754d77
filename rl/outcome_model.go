package rl

import (
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/rollout"
)

// headName is the name of the head of a transformers classifier.
const headName = "score.weight"

// OutcomeModel is an outcome reward model (ORM): its Head maps the hidden state of a
// completion's last token to a score of the whole completion. OutcomeTraining trains it on
// pairs. It reads token ids, so it must have the vocabulary of the policy. Its checkpoints
// have the format of transformers' …ForSequenceClassification with one label.
type OutcomeModel struct {
	Model   *model.Model
	Head    *tensor.Param // [1, D]
	MaxRows int           // maximum number of packed tokens in a forward pass of Score; 0 means no limit
}

// NewOutcomeModel adds a head to m; see NewValueHead.
func NewOutcomeModel(m *model.Model) (*OutcomeModel, error) {
	head, err := NewValueHead(m)
	return &OutcomeModel{Model: m, Head: head}, err
}

// LoadOutcomeModel loads an OutcomeModel from a checkpoint that a Trainer, Save or
// transformers has written.
func LoadOutcomeModel(b backend.Backend, path string, o model.LoadOptions) (*OutcomeModel, *model.Source, error) {
	var om *OutcomeModel
	m, source, err := loadClassifier(b, path, o, func(m *model.Model) (err error) {
		om, err = NewOutcomeModel(m)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("rl: outcome reward model: %w", err)
	}
	om.Model = m
	return om, source, nil
}

// Save writes a folder that LoadOutcomeModel and transformers'
// AutoModelForSequenceClassification can read; see model.Save.
func (o *OutcomeModel) Save(dir string, so model.SaveOptions) error {
	if err := o.validate(); err != nil {
		return fmt.Errorf("rl: save: OutcomeModel.%w", err)
	}
	return o.classifier().save(dir, so)
}

func (o *OutcomeModel) classifier() classifier {
	return classifier{model: o.Model, head: o.Head, rows: o.MaxRows}
}

func (o *OutcomeModel) validate() error { return o.classifier().validate(1) }

// Score returns the score of each solution under the current weights. Each forward pass
// has at most MaxRows tokens; how solutions are batched does not change any bit of the
// scores.
func (o *OutcomeModel) Score(ctx context.Context, all []Solution) ([]float64, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("rl: OutcomeModel.%w", err)
	}
	c := o.classifier()
	rs := make([]reading, len(all))
	for i, x := range all {
		if err := c.check(x); err != nil {
			return nil, fmt.Errorf("rl: outcome reward model: solution %d: %w", i, err)
		}
		rs[i] = newReading(x, len(x.Completion)-1)
	}
	outputs, err := c.outputs(ctx, rs)
	if err != nil {
		return nil, fmt.Errorf("rl: outcome reward model: %w", err)
	}
	scores := make([]float64, len(all))
	for i, v := range outputs {
		scores[i] = v[0]
	}
	return scores, nil
}

// Func returns a reward function with the given name whose rewards are the scores. Scores
// only rank completions, and none of them means that a completion is correct, so the status
// of every verdict is Wrong. If the model cannot read a completion, the status is Error.
func (o *OutcomeModel) Func(name string) reward.Func {
	return scoring(name, func() (classifier, error) { return o.classifier(), o.validate() },
		func(ctx context.Context, xs []Solution) ([]reward.Verdict, error) {
			scores, err := o.Score(ctx, xs)
			out := make([]reward.Verdict, len(scores))
			for i, v := range scores {
				out[i] = reward.Verdict{Value: v, Status: reward.Wrong}
			}
			return out, err
		})
}

// scoring returns a reward function for a classifier. It calls judge with the solutions
// that the classifier can read, and gives the others the status Error.
func scoring(name string, of func() (classifier, error),
	judge func(ctx context.Context, xs []Solution) ([]reward.Verdict, error)) reward.Func {
	scoreAll := func(ctx context.Context, samples []reward.Sample) []reward.Verdict {
		out := make([]reward.Verdict, len(samples))
		c, err := of()
		if err != nil {
			return allFailed(out, err)
		}
		var xs []Solution
		var at []int
		for i, s := range samples {
			x := Solution{Prompt: s.PromptIDs, Completion: s.IDs}
			if err := c.check(x); err != nil {
				out[i] = reward.Verdict{Status: reward.Error, Err: err}
				continue
			}
			xs, at = append(xs, x), append(at, i)
		}
		verdicts, err := judge(ctx, xs)
		if err != nil {
			return allFailed(out, err)
		}
		for k, i := range at {
			out[i] = verdicts[k]
		}
		return out
	}
	return reward.Func{Name: name, Serial: true, ScoreAll: scoreAll}
}

// allFailed sets all verdicts to the same error.
func allFailed(out []reward.Verdict, err error) []reward.Verdict {
	for i := range out {
		out[i] = reward.Verdict{Status: reward.Error, Err: err}
	}
	return out
}

// solutions returns the samples of a rollout as solutions.
func solutions(prompts []rollout.Prompt, samples []rollout.Sample) []Solution {
	out := make([]Solution, len(samples))
	for i, s := range samples {
		out[i] = Solution{Prompt: prompts[s.Prompt].IDs, Completion: s.IDs}
	}
	return out
}

var errNoSteps = errors.New("the completion has no step")
