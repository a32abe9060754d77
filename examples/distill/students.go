package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/aha-go/aha/distill"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
)

// students trains a copy of the base student in each of the four ways.
func (r *experiment) students(ctx context.Context) error {
	traces := r.traces.Sequences()
	tokens := int64(model.Totals(traces).Weight)
	if err := r.finetune(ctx, row{Name: "SFT, base quality"}, "control", r.scale.BaseTraces(r.Seed, int(tokens)),
		nil); err != nil {
		return err
	}
	taught := row{
		Name: "SFT, teacher's traces", Sampled: int64(r.traces.Tokens),
		FLOP: reading(r.result.TeacherActive, int64(r.traces.Tokens)), Seconds: r.wrote.Seconds(),
	}
	if err := r.finetune(ctx, taught, "sft", traces, nil); err != nil {
		return err
	}
	taught.Name = "logits on them"
	taught.FLOP += reading(r.result.TeacherActive, int64(r.scale.Epochs)*tokens)
	if err := r.finetune(ctx, taught, "logit", traces, &r.scale.Logit); err != nil {
		return err
	}
	s := r.result.Students
	return r.reinforce(ctx, max(s[sft].FLOP, s[logit].FLOP))
}

// fresh returns a copy of the base student.
func (r *experiment) fresh() (*model.Model, error) {
	m, err := model.New(r.b, r.base.Config, r.Seed)
	if err != nil {
		return nil, err
	}
	if err := m.Params.CopyFrom(r.base.Params); err != nil {
		m.Free()
		return nil, err
	}
	return m, nil
}

// finetune trains a copy of the base student on seqs: on their tokens, or, if match
// is not nil, on the teacher's distributions at their positions. s holds the cost of
// making seqs.
func (r *experiment) finetune(
	ctx context.Context, s row, name string, seqs []model.Sequence, match *distill.Logit,
) error {
	m, err := r.fresh()
	if err != nil {
		return err
	}
	defer m.Free()
	data := &train.Epochs{Sequences: seqs, Rows: r.scale.Rows, Seed: r.Seed}
	steps := data.Steps(r.scale.Epochs)
	bar := progress.New(steps, s.Name, "steps")
	defer bar.Close()
	t := &train.Trainer{
		Model: m, Optimizer: train.AdamW{LR: r.scale.LR},
		Schedule: train.WarmUp(max(steps*3/100, 1), train.Cosine(0, steps, 0.1)),
		Steps:    steps, Dir: filepath.Join(r.Out, name), SaveEvery: max(steps/4, 1), KeepLast: 1,
		Seed: r.Seed, Settings: r.scale,
		OnStep: func(x train.Metrics) {
			bar.Add(1)
			bar.Describe(fmt.Sprintf("%s, loss %.3f", s.Name, x.Values[train.MetricLoss]))
		},
	}
	defer t.Close()
	if match != nil {
		teacher := distill.NewTeacher(r.teacher.Model)
		defer teacher.Close()
		t.Loss = match.TrainerLoss(t, teacher)
	}
	if err := t.Run(ctx, data); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	bar.Close()
	metrics, err := run.ReadMetrics(filepath.Join(t.Dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	s.Trained = int64(r.scale.Epochs) * int64(model.Totals(seqs).Weight)
	s.FLOP += learning(r.result.Params, s.Trained)
	s.Seconds += metrics.Sum(train.MetricStepTime)
	return r.enter(ctx, s, m, name)
}

// reinforce trains a copy of the base student by GRPO, as r1zero does. It computes
// the number of steps from budget, in FLOP, assuming a mean completion length halfway
// between those of the base student and the teacher.
func (r *experiment) reinforce(ctx context.Context, budget float64) error {
	m, err := r.fresh()
	if err != nil {
		return err
	}
	defer m.Free()
	gen, err := lab.NewGenerator(m, r.scale.Scale)
	if err != nil {
		return err
	}
	defer gen.Close()
	s := row{Name: "GRPO alone"}
	sc := r.scale.Scale
	completions := sc.Prompts * sc.Group
	sc.RLSteps = rlSteps(budget, r.result.Params, completions, (r.result.Students[base].Length+r.result.Teacher.Length)/2)
	bar := progress.New(sc.RLSteps, s.Name, "steps")
	defer bar.Close()
	t := &train.Trainer{Model: m, Dir: filepath.Join(r.Out, "grpo"), Seed: r.Seed}
	defer t.Close()
	g := lab.GRPO(t, gen, sc)
	g.OnStep = func(x train.Metrics) {
		bar.Add(1)
		bar.Describe(fmt.Sprintf("%s, reward %.2f", s.Name, x.Values[rl.MetricReward]))
	}
	if err := g.Run(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	bar.Close()
	metrics, err := run.ReadMetrics(filepath.Join(t.Dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	s.Trained = t.Tokens()
	s.Sampled = int64(metrics.Sum(rl.MetricMeanLength)*float64(completions) + 0.5)
	s.FLOP = reading(r.result.Params, s.Sampled) + learning(r.result.Params, s.Trained)
	s.Seconds = metrics.Sum(train.MetricStepTime)
	return r.enter(ctx, s, m, "grpo")
}
