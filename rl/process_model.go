package rl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

const biasName = "score.bias"

// ProcessModel is a process reward model (PRM, arXiv 2305.20050): at the last token of each
// step of a completion, its Head computes the probability that the step is right.
// ProcessTraining trains it on labelled steps. It reads token ids, so it must have the
// vocabulary of the policy. Its checkpoints have the format of transformers'
// …ForTokenClassification with two labels, of which 1 means right.
type ProcessModel struct {
	Model *model.Model
	Head  *tensor.Param // [2, D]
	Bias  *tensor.Param // [2]
	// Ends returns the indices of the last tokens of the steps of a completion, in order. It
	// must be a pure function. Scoring requires it; see StepsEndAt.
	Ends    func(completion []int32) []int
	MaxRows int // maximum number of packed tokens in a forward pass of Score; 0 means no limit
}

// StepsEndAt returns a function for ProcessModel.Ends: a step ends at each of the given
// tokens, such as that of a line break, and at the end of the completion.
func StepsEndAt(separators ...int32) func(completion []int32) []int {
	return func(completion []int32) (ends []int) {
		for i, id := range completion {
			if i == len(completion)-1 || slices.Contains(separators, id) {
				ends = append(ends, i)
			}
		}
		return ends
	}
}

// NewProcessModel adds a head score.weight [2, D] and a bias score.bias [2] to the
// parameters of m. They are initialized to zeros, so that every step is at first right with
// probability ½. They train with m and are saved in its checkpoints.
func NewProcessModel(m *model.Model, ends func(completion []int32) []int) (*ProcessModel, error) {
	for _, name := range []string{headName, biasName} {
		if m.Params.Get(name) != nil {
			return nil, fmt.Errorf("rl: the model has a parameter %s already", name)
		}
	}
	p := &ProcessModel{
		Model: m, Head: m.Params.Score(headName, 2, m.Config.HiddenSize), Bias: m.Params.Bias(biasName, 2), Ends: ends,
	}
	return p, m.Params.Err()
}

// LoadProcessModel loads a ProcessModel from a checkpoint that a Trainer, Save or
// transformers has written.
func LoadProcessModel(
	b backend.Backend, path string, ends func(completion []int32) []int, o model.LoadOptions,
) (*ProcessModel, *model.Source, error) {
	var pm *ProcessModel
	m, source, err := loadClassifier(b, path, o, func(m *model.Model) (err error) {
		pm, err = NewProcessModel(m, ends)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("rl: process reward model: %w", err)
	}
	pm.Model = m
	return pm, source, nil
}

// Save writes a folder that LoadProcessModel and transformers'
// AutoModelForTokenClassification can read; see model.Save.
func (p *ProcessModel) Save(dir string, so model.SaveOptions) error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("rl: save: ProcessModel.%w", err)
	}
	return p.classifier().save(dir, so)
}

func (p *ProcessModel) classifier() classifier {
	return classifier{model: p.Model, head: p.Head, bias: p.Bias, rows: p.MaxRows}
}

func (p *ProcessModel) validate() error {
	if p.Bias == nil {
		return errors.New("Bias is nil")
	}
	return p.classifier().validate(2)
}

// Score returns, for each step of each solution, the probability that it is right under the
// current weights. A completion without steps has no scores. Each forward pass has at most
// MaxRows tokens; how solutions are batched does not change any bit of the scores.
func (p *ProcessModel) Score(ctx context.Context, all []Solution) ([][]StepReward, error) {
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("rl: ProcessModel.%w", err)
	}
	if p.Ends == nil {
		return nil, errors.New("rl: ProcessModel.Ends is nil")
	}
	c := p.classifier()
	rs, steps := make([]reading, len(all)), make([][]StepReward, len(all))
	for i, x := range all {
		if err := c.check(x); err != nil {
			return nil, fmt.Errorf("rl: process reward model: solution %d: %w", i, err)
		}
		before := -1
		ends := p.Ends(x.Completion)
		for j, t := range ends {
			if t <= before || t >= len(x.Completion) {
				return nil, fmt.Errorf("rl: ProcessModel.Ends returned token %d as the end of step %d of solution %d: "+
					"want one after token %d of %d", t, j, i, before, len(x.Completion))
			}
			steps[i], before = append(steps[i], StepReward{Token: t}), t
		}
		rs[i] = newReading(x, ends...)
	}
	outputs, err := c.outputs(ctx, rs)
	if err != nil {
		return nil, fmt.Errorf("rl: process reward model: %w", err)
	}
	for i, z := range outputs {
		for j := range steps[i] {
			steps[i][j].Value = 1 / (1 + math.Exp(z[2*j]-z[2*j+1]))
		}
	}
	return steps, nil
}

// Process scores the steps of a rollout. Set GRPO.Process to it to train a policy with
// these rewards.
func (p *ProcessModel) Process(ctx context.Context, r *Rollout) ([][]StepReward, error) {
	return p.Score(ctx, solutions(r.Prompts, r.Samples))
}

// Outcome selects how the scores of steps are combined into a score of the completion.
type Outcome string

const (
	// OutcomeMin is the score of the worst step.
	OutcomeMin Outcome = "min"
	// OutcomeProduct is the product of the scores: the probability that all steps are right
	// if they are independent.
	OutcomeProduct Outcome = "product"
	// OutcomeLast is the score of the last step.
	OutcomeLast Outcome = "last"
)

// Of returns the score of a completion. It must have at least one step.
func (o Outcome) Of(steps []StepReward) float64 {
	score := steps[0].Value
	for _, s := range steps[1:] {
		switch o {
		case OutcomeMin:
			score = min(score, s.Value)
		case OutcomeProduct:
			score *= s.Value
		case OutcomeLast:
			score = s.Value
		default:
			panic(fmt.Sprintf("rl: Outcome %q", string(o)))
		}
	}
	return score
}

// Func returns a reward function with the given name whose rewards are the scores of whole
// completions. The status of a verdict is Correct if the score is above 0.5, otherwise
// Wrong. For completions without steps it is Unparseable, with value 0; for completions
// that the model cannot read it is Error.
func (p *ProcessModel) Func(name string, outcome Outcome) reward.Func {
	known := func() (classifier, error) {
		if err := p.validate(); err != nil {
			return classifier{}, fmt.Errorf("rl: ProcessModel.%w", err)
		}
		if outcome == "" {
			return classifier{}, fmt.Errorf(`rl: ProcessModel.Func: outcome is ""`)
		}
		return p.classifier(), oneOf("outcome", outcome, OutcomeMin, OutcomeProduct, OutcomeLast)
	}
	return scoring(name, known, func(ctx context.Context, xs []Solution) ([]reward.Verdict, error) {
		steps, err := p.Score(ctx, xs)
		out := make([]reward.Verdict, len(steps))
		for i, of := range steps {
			if len(of) == 0 {
				out[i] = reward.Verdict{Status: reward.Unparseable, Err: errNoSteps}
				continue
			}
			out[i] = reward.Verdict{Value: outcome.Of(of), Status: reward.Wrong}
			if out[i].Value > 0.5 {
				out[i].Status = reward.Correct
			}
		}
		return out, err
	})
}
