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

// ProcessModel is a process reward model (PRM, arXiv 2305.20050): a model whose Head says
// at the last token of each step of a completion how likely the step is right.
// ProcessTraining trains it on labelled steps. It reads tokens: its vocabulary is that of
// the policy. Its checkpoints are those of transformers' …ForTokenClassification with two
// labels, 1 for right.
type ProcessModel struct {
	Model *model.Model
	Head  *tensor.Param // [2, D]
	Bias  *tensor.Param // [2]
	// Ends lists in order the indices of the tokens of a completion that end its steps.
	// It is a pure function of them. Required to score; see StepsEndAt.
	Ends    func(completion []int32) []int
	MaxRows int // packed tokens of a forward of Score; 0 means no bound
}

// StepsEndAt has steps end at each of the given tokens, such as that of a line break, and
// at the end of the completion.
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

// NewProcessModel adds a head [2, D] and a bias [2] to the parameters of m: score.weight
// and score.bias, of zeros, so that all steps begin as likely right as wrong. They train
// with m and are in its checkpoints.
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

// LoadProcessModel loads a checkpoint of a ProcessModel: one of a Trainer, of Save or of
// transformers.
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
// AutoModelForTokenClassification read, see model.Save.
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

// Score is how likely each step of each solution is right, from 0 to 1, as the model is
// now, in forwards of MaxRows tokens. A completion without a step has none. How solutions
// share forwards does not change the bits of their scores.
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

// Process scores the steps of a rollout: GRPO.Process of a policy to be trained by it.
func (p *ProcessModel) Process(ctx context.Context, r *Rollout) ([][]StepReward, error) {
	return p.Score(ctx, solutions(r.Prompts, r.Samples))
}

// Outcome says how the scores of a completion's steps make one of the whole.
type Outcome string

const (
	// OutcomeMin is the score of the worst step.
	OutcomeMin Outcome = "min"
	// OutcomeProduct is the product: how likely all steps are right, were they independent.
	OutcomeProduct Outcome = "product"
	// OutcomeLast is the score of the last step.
	OutcomeLast Outcome = "last"
)

// Of is the score of the whole; steps are at least one.
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

// Func is the score of whole completions as a reward function. The status of a verdict is
// Correct above 0.5, otherwise Wrong; Unparseable, of value 0, for completions without a
// step. What the model cannot read gets an Error.
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
