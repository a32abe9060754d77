// Command r1zero is R1-Zero in miniature: a tiny model of DeepSeek-V3's
// architecture learns to reason by GRPO with rule rewards alone, on a laptop.
//
//	go run ./examples/r1zero
//
// It trains a base model on generated text full of imperfect search traces
// (kept in the output folder, so that the next run begins at GRPO), measures it
// on held-out Countdown problems, trains it by GRPO, and measures it again.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model/train/run"
)

// options are the flags.
type options struct {
	Device string `json:"device"`
	Seed   uint64 `json:"seed"`
	Out    string `json:"-"`
	// These are resolved into Scale; 0 means its own.
	BaseSteps int    `json:"-"`
	Steps     int    `json:"-"`
	Prompts   int    `json:"-"`
	Resume    bool   `json:"-"`
	Quick     bool   `json:"quick"`
	Control   string `json:"control"`
	// Precision is that of activations and caches, "" for f32.
	Precision string `json:"precision,omitempty"`
	JSON      bool   `json:"-"`
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "where to run: cpu, or cuda:0")
	flag.Uint64Var(&o.Seed, "seed", 1, "of weights, text, prompts and draws; the held-out problems are the same for all")
	flag.StringVar(&o.Out, "out", "",
		"output folder (default out/r1zero, with a suffix for -quick, -precision, -seed and -control)")
	flag.IntVar(&o.BaseSteps, "base-steps", 0, "steps of the base model's training (default 2000, with -quick 200)")
	flag.IntVar(&o.Steps, "steps", 0, "GRPO steps (default 60, with -quick 3)")
	flag.IntVar(&o.Prompts, "prompts", 0,
		"prompts of a GRPO step, and then also the problems of the evaluation (default 64 and 512, with -quick 16 and 32)")
	flag.BoolVar(&o.Resume, "resume", false,
		"continue the GRPO run in the output folder; without it, one that is there is set aside")
	flag.BoolVar(&o.Quick, "quick", false, "every phase within two minutes; the figures mean nothing")
	flag.StringVar(&o.Control, "control", "",
		"shuffled: permute the rewards; unbalanced: a base model without bias update and balance loss, no GRPO")
	flag.StringVar(&o.Precision, "precision", "f32", "of activations and of the cached keys and values: f32 or bf16")
	flag.BoolVar(&o.JSON, "json", false, "make the last line of standard output a JSON object of the results")
	flag.Parse()

	lab.Main("r1zero", "the same command with -resume continues", func(ctx context.Context) error { return start(ctx, o) })
}

func start(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"base-steps", o.BaseSteps}, {"steps", o.Steps}, {"prompts", o.Prompts}} {
		if f.value < 0 {
			return fmt.Errorf("-%s %d, want a positive number", f.name, f.value)
		}
	}
	if o.Control != "" && o.Control != "shuffled" && o.Control != "unbalanced" {
		return fmt.Errorf("-control %q, want shuffled or unbalanced", o.Control)
	}
	precision, err := lab.Precision(o.Precision)
	if err != nil {
		return err
	}
	if precision == backend.F32 {
		o.Precision = "" // as before there was a choice
	}
	if o.Out == "" {
		o.Out = defaultOut(o)
	}
	scale := lab.Full
	if o.Quick {
		scale = lab.Quick
	}
	scale.BaseSteps, scale.RLSteps = cmp.Or(o.BaseSteps, scale.BaseSteps), cmp.Or(o.Steps, scale.RLSteps)
	if o.Prompts > 0 {
		scale.Prompts, scale.Problems = o.Prompts, o.Prompts
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
	r := &experiment{options: o, scale: scale, precision: precision, b: b}
	if err := r.all(ctx); err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(os.Stdout).Encode(r.result)
	}
	return nil
}

func defaultOut(o options) string {
	name := "r1zero"
	if o.Quick {
		name += "-quick"
	}
	if o.Precision != "" {
		name += "-" + o.Precision
	}
	if o.Seed != 1 {
		name += fmt.Sprintf("-seed%d", o.Seed)
	}
	if o.Control != "" {
		name += "-" + o.Control
	}
	return filepath.Join("out", name)
}

// machine names what decides the speed.
func machine() string {
	return strings.Join([]string{runtime.GOOS, runtime.GOARCH, fmt.Sprint(runtime.GOMAXPROCS(0)), "threads"}, " ")
}
