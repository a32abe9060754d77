// Command r1zero reproduces R1-Zero on a small scale: a tiny model of DeepSeek-V3's
// architecture learns to reason by GRPO with rule-based rewards only, on a laptop.
//
//	go run ./examples/r1zero
//
// It trains a base model on generated text with imperfect search traces, evaluates it
// on held-out Countdown problems, trains it by GRPO, and evaluates it again. The base
// model is kept in the output folder, so that the next run begins with GRPO.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
)

func main() {
	o := parse()
	lab.Main("r1zero", "the same command with -resume continues", func(ctx context.Context) error { return start(ctx, o) })
}

// experiment is one run of the command.
type experiment struct {
	options
	b      backend.Backend
	m      *model.Model
	gen    *model.Generator
	speed  lab.Speed
	result lab.Outcome
}

func start(ctx context.Context, o options) error {
	if err := o.resolve(); err != nil {
		return err
	}
	if o.Draw {
		return lab.Draw(o.Out)
	}
	b, err := lab.Open(o.Device)
	if err != nil {
		return err
	}
	defer b.Close()
	lock, err := run.Lock(o.Out)
	if err != nil {
		return err
	}
	defer lock.Close()
	r := &experiment{options: o, b: b, result: lab.Outcome{Seed: o.Seed, Control: o.Control, Out: o.Out}}
	if err := r.all(ctx); err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(os.Stdout).Encode(r.result)
	}
	return nil
}

// all trains a base model, evaluates it, trains it by GRPO, and evaluates it again.
func (r *experiment) all(ctx context.Context) (err error) {
	began := time.Now()
	config, base := lab.Teacher(), r.base()
	phases, err := base.Phases(r.b, config, r.model())
	if err != nil {
		return err
	}
	if base.Unbalanced {
		phases = phases[:1] // this control has no GRPO
	}
	if err := lab.Announce(os.Stdout, r.b, phases); err != nil {
		return err
	}
	if r.m, err = model.NewWith(r.b, config, r.Seed, r.model()); err != nil {
		return err
	}
	if err := r.settle(config); err != nil {
		return err
	}
	fmt.Println("timing this machine for the estimate")
	if r.speed, err = base.Measure(ctx, r.b, config, r.model(), moment); err != nil {
		return err
	}
	if err := r.plan(); err != nil {
		return err
	}
	if err := r.pretrain(ctx, base); err != nil {
		return err
	}
	r.result.BaseSeconds = time.Since(began).Seconds()
	if !base.Unbalanced {
		if err := r.learn(ctx); err != nil {
			return err
		}
	}
	if err := lab.Draw(r.Out); err != nil {
		return err
	}
	return r.result.Finish(os.Stdout, r.m, began)
}

// plan prints how long the run will take, without the steps that the output folder already has.
func (r *experiment) plan() error {
	done, err := lab.ReadDone(r.Out)
	if err != nil {
		return err
	}
	p, what := r.speed.Plan(r.scale, done), "this run takes"
	if r.Control == "unbalanced" {
		p.GRPO, p.Evaluations = 0, 0
	}
	if done != (lab.Done{}) {
		what = "what is left takes"
	}
	fmt.Printf("%s %s\n", what, p)
	return nil
}

// pretrain trains the base model, or loads it if the output folder has it.
func (r *experiment) pretrain(ctx context.Context, base lab.Base) error {
	correct, tries := r.scale.Corpus(r.Seed).CorrectShare(20000)
	fmt.Printf("base text: %.1f%% of the traces end with a correct answer, after %.2f tries on average; "+
		"wrong traces are not filtered out\n",
		100*correct, tries)
	bar := progress.New(r.scale.BaseSteps, "base model", "steps")
	defer bar.Close()
	base.Follow(bar)
	if err := base.Train(ctx, r.m); err != nil {
		return err
	}
	bar.Close()
	return r.result.Trained(os.Stdout, r.m, base.Dir, machine())
}

// learn evaluates the base model, trains it by GRPO, and evaluates it again.
func (r *experiment) learn(ctx context.Context) (err error) {
	if r.gen, err = lab.NewGenerator(r.m, r.scale); err != nil {
		return err
	}
	defer r.gen.Close()
	began := time.Now()
	watch, end := progress.Watch("evaluating the base model", "problems")
	defer end()
	cache := filepath.Join(r.Out, "base", "evaluation.json")
	before, err := lab.EvaluateBase(ctx, cache, r.m, r.gen, r.scale, watch)
	if err != nil {
		return err
	}
	r.result.Before = *before
	r.result.EvalSeconds = time.Since(began).Seconds()
	fmt.Printf("\nbefore: %s\n", before)

	began = time.Now()
	dir := filepath.Join(r.Out, "grpo")
	if err := r.grpo(ctx, dir); err != nil {
		return err
	}
	r.result.RLSeconds = time.Since(began).Seconds()
	if err := errors.Join(r.result.Learned(dir), lab.Draw(r.Out)); err != nil {
		return err
	}

	began = time.Now()
	watch, end = progress.Watch("evaluating after GRPO", "problems")
	defer end()
	after, err := lab.Evaluate(ctx, r.gen, r.scale, watch)
	if err != nil {
		return err
	}
	r.result.EvalSeconds += time.Since(began).Seconds()
	if err := r.result.Compare(os.Stdout, dir, lab.Summarize(after, r.scale)); err != nil {
		return err
	}
	if r.Quick {
		fmt.Printf("\nThis was the small task: %s.\n"+
			"The full run, without -quick, is of the same model: %s.\nIt takes %s.\n",
			r.scale.Size(), lab.Full.Size(), r.speed.Plan(lab.Full, lab.Done{}))
	}
	return nil
}

// grpo trains by GRPO, from the base model or from the newest checkpoint in dir.
func (r *experiment) grpo(ctx context.Context, dir string) error {
	bar := progress.New(r.scale.RLSteps, "GRPO", "steps")
	defer bar.Close()
	t := &train.Trainer{Model: r.m, Dir: dir, Seed: r.Seed}
	defer t.Close()
	g := lab.GRPO(t, r.gen, r.scale)
	g.Reward = suite()
	g.Shuffle = r.Control == "shuffled"
	r.result.Follow(g, bar)
	err := errors.Join(g.Run(ctx), g.Close())
	r.result.RLSteps = g.StepCount()
	return err
}

// moment is the time for which each speed is measured. It is a variable so that tests can change it.
var moment = time.Second

// suite returns the rewards. It is a variable because tests with models that are too small
// to solve problems replace it.
var suite = lab.Reward
