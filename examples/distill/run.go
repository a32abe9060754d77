package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/distill"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
)

// scale sets the size of a run. A run is only continued with the same scale.
type scale struct {
	lab.Scale
	Traces int           `json:"traces_per_problem"` // that the teacher writes
	Epochs int           `json:"epochs"`             // over the traces
	Rows   int           `json:"rows"`               // tokens per step of SFT and logit distillation
	LR     float64       `json:"lr"`                 // peak learning rate
	Logit  distill.Logit `json:"logit"`
}

// full is the scale of the results in README.md; quick is for a first try.
var (
	full  = sized(lab.Full, 1400, 1536)
	quick = sized(lab.Quick, 400, 64)
)

// sized returns s with the student's number of steps on the base text and the number
// of problems that the teacher writes traces for.
func sized(s lab.Scale, baseSteps, problems int) scale {
	s.BaseSteps, s.TraceBudget = baseSteps, problems
	return scale{Scale: s, Traces: 4, Epochs: 2, Rows: 4096, LR: 1e-3}
}

// experiment is one run of the command, from the base text to the table.
type experiment struct {
	options
	scale   scale
	b       backend.Backend
	teacher *lab.Reasoner
	base    *model.Model
	traces  *distill.Collection
	wrote   time.Duration // time that the teacher took to write the traces
	result  result
}

// result is the JSON object of -json.
type result struct {
	Students      []row   `json:"students"` // in the order of the constants below: the base student first
	Teacher       row     `json:"teacher"`
	Gain          float64 `json:"gain"` // best pass@1 of the students that learn from the teacher, minus that of the base
	Params        int64   `json:"params"`
	TeacherActive int64   `json:"teacher_active_params"`
	TracesKept    int     `json:"traces_kept"`
	TracesSampled int     `json:"traces_sampled"`
	BaseSeconds   float64 `json:"base_seconds"` // of the student's base training
	Seconds       float64 `json:"seconds"`      // of the whole run, evaluations included
	Seed          uint64  `json:"seed"`
	Out           string  `json:"out"`
}

func (r *experiment) all(ctx context.Context) error {
	began := time.Now()
	teacher, err := lab.LoadReasoner(r.b, r.Teacher)
	if err != nil {
		return err
	}
	defer teacher.Model.Free()
	r.teacher, r.scale.Task = teacher, teacher.Task
	config := lab.Student()
	phases, err := r.baseRun().Phases(r.b, config, model.Options{})
	if err != nil {
		return err
	}
	if err := lab.Announce(os.Stdout, r.b, phases); err != nil {
		return err
	}
	if r.base, err = model.New(r.b, config, r.Seed); err != nil {
		return err
	}
	defer r.base.Free()
	_, r.result.Params = config.NumParams()
	_, r.result.TeacherActive = teacher.Model.Config.NumParams()
	fmt.Printf("teacher: %s after %d GRPO updates, %d active parameters per token; "+
		"student: dense, %d parameters, %.2f times as many\n",
		r.Teacher, teacher.Updates, r.result.TeacherActive, r.result.Params,
		float64(r.result.Params)/float64(r.result.TeacherActive))
	if err := r.settle(config); err != nil {
		return err
	}
	for _, phase := range []func(context.Context) error{r.trainBase, r.measureTeacher, r.collect, r.students} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	r.result.Seconds = time.Since(began).Seconds()
	r.result.Seed, r.result.Out = r.Seed, r.Out
	return r.report()
}

// settle writes everything that determines the result to config.json. If the folder
// has another configuration, the error lists the differences.
func (r *experiment) settle(c model.Config) error {
	sum, err := train.WeightsSHA256(r.teacher.Model.Params.All())
	if err != nil {
		return err
	}
	return run.Settle(filepath.Join(r.Out, "config.json"), struct {
		options
		Scale    scale        `json:"scale"`
		Model    model.Config `json:"model"`
		TextSeed uint64       `json:"base_text_seed"`
		Teacher  string       `json:"teacher_weights_sha256"`
	}{r.options, r.scale, c, r.teacher.Seed, sum})
}

// baseRun returns the settings of the training of the base student.
func (r *experiment) baseRun() lab.Base {
	return lab.Base{Dir: filepath.Join(r.Out, "base"), Seed: r.teacher.Seed, Scale: r.scale.Scale}
}

// trainBase trains the student on the base text of its teacher, or loads the trained
// student from the output folder.
func (r *experiment) trainBase(ctx context.Context) error {
	bar := progress.New(r.scale.BaseSteps, "base student", "steps")
	defer bar.Close()
	base := r.baseRun()
	base.OnStep = func(m train.Metrics) {
		bar.Add(1)
		bar.Describe(fmt.Sprintf("base student, loss %.3f", m.Values[train.MetricLoss]))
	}
	if err := base.Train(ctx, r.base); err != nil {
		return err
	}
	bar.Close()
	rows, err := run.ReadMetrics(filepath.Join(base.Dir, "metrics.jsonl"))
	if err != nil {
		return err
	}
	r.result.BaseSeconds = rows.Sum(train.MetricStepTime)
	return r.enter(ctx, row{Name: "base"}, r.base, "base")
}

// enter saves m as a model folder, name/model in the output folder, evaluates it, and
// adds its row to the results.
func (r *experiment) enter(ctx context.Context, s row, m *model.Model, name string) error {
	if err := lab.Save(filepath.Join(r.Out, name, "model"), m); err != nil {
		return err
	}
	if err := r.evaluate(ctx, &s, m, name); err != nil {
		return err
	}
	r.result.Students = append(r.result.Students, s)
	return nil
}

func (r *experiment) evaluate(ctx context.Context, s *row, m *model.Model, name string) error {
	gen, err := lab.NewGenerator(m, r.scale.Scale)
	if err != nil {
		return err
	}
	defer gen.Close()
	dir := filepath.Join(r.Out, name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	watch, end := progress.Watch("evaluating: "+s.Name, "problems")
	defer end()
	e, err := lab.EvaluateBase(ctx, filepath.Join(dir, "evaluation.json"), m, gen, r.scale.Scale, watch)
	if err != nil {
		return err
	}
	s.enter(e)
	fmt.Printf("%s: %s\n", s.Name, e)
	return nil
}

func (r *experiment) measureTeacher(ctx context.Context) error {
	r.result.Teacher.Name = "teacher"
	return r.evaluate(ctx, &r.result.Teacher, r.teacher.Model, "teacher")
}

// collect lets the teacher write traces for training problems and keeps the correct
// ones (rejection sampling).
func (r *experiment) collect(ctx context.Context) error {
	gen, err := lab.NewGenerator(r.teacher.Model, r.scale.Scale)
	if err != nil {
		return err
	}
	defer gen.Close()
	began := time.Now()
	watch, end := progress.Watch("the teacher writes", "problems")
	defer end()
	rejection := distill.Rejection{
		Sampler: lab.Sampler(gen, r.scale.Scale), Reward: lab.Reward(), N: r.scale.Traces, Seed: r.Seed,
		Progress: watch,
	}
	problems := r.scale.Split().Train[:r.scale.TraceBudget]
	if r.traces, err = rejection.Collect(ctx, lab.Prompts(problems, model.DeriveSeed(r.Seed, "traces"))); err != nil {
		return err
	}
	r.wrote = time.Since(began)
	c := r.traces
	if c.Failed > 0 {
		return fmt.Errorf("the reward failed on %d of the teacher's %d traces; the first error: %w", c.Failed,
			c.Sampled, c.Failure)
	}
	if len(c.Traces) == 0 {
		return fmt.Errorf("none of the teacher's %d traces is correct and well-formed: nothing to train on", c.Sampled)
	}
	r.result.TracesKept, r.result.TracesSampled = len(c.Traces), c.Sampled
	fmt.Printf("the teacher wrote %d traces for %d problems in %.0f s, %.1f tokens each; "+
		"%d are correct and well-formed (%.1f%%)\n",
		c.Sampled, len(problems), r.wrote.Seconds(), float64(c.Tokens)/float64(c.Sampled), len(c.Traces),
		100*float64(len(c.Traces))/float64(c.Sampled))
	return nil
}

// report prints the table and the gains over the base.
func (r *experiment) report() error {
	s := r.result.Students
	fmt.Println()
	if err := print(os.Stdout, append(append([]row{}, s...), r.result.Teacher)); err != nil {
		return err
	}
	r.result.Gain = max(s[sft].Pass1, s[logit].Pass1) - s[base].Pass1
	fmt.Printf("\ngain over the base in percentage points of pass@1: teacher's traces %+.1f, teacher's logits %+.1f, "+
		"GRPO alone %+.1f, traces of base quality %+.1f\n",
		100*(s[sft].Pass1-s[base].Pass1), 100*(s[logit].Pass1-s[base].Pass1), 100*(s[alone].Pass1-s[base].Pass1),
		100*(s[control].Pass1-s[base].Pass1))
	fmt.Println("Tokens, compute and seconds exclude the base training and the prompts. Compute is 6·N for each token " +
		"trained on and")
	fmt.Println("2·N for each token sampled or scored, where N is the number of active parameters. " +
		"It includes sampling the teacher's traces, but not")
	fmt.Println("training the teacher.")
	i, _ := lab.Contrast(s[base].first, s[sft].first)
	fmt.Printf("\none problem, solved by the base student:\n  %s\nby the student of the teacher's traces:\n  %s\n"+
		"%.0f s in all; results in %s\n",
		s[base].first[i].Text, s[sft].first[i].Text, r.result.Seconds, r.Out)
	return nil
}

// Indices of the students in result.Students and rows of the table.
const (
	base = iota
	control
	sft
	logit
	alone
)
