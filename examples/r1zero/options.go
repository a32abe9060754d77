package main

import (
	"cmp"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model"
)

// options are the flags.
type options struct {
	Device string `json:"device"`
	Seed   uint64 `json:"seed"`
	Out    string `json:"-"`
	// BaseSteps, Steps and Prompts override fields of scale; 0 means the default.
	BaseSteps int    `json:"-"`
	Steps     int    `json:"-"`
	Prompts   int    `json:"-"`
	Resume    bool   `json:"-"`
	Quick     bool   `json:"quick"`
	Control   string `json:"control"`
	// Precision is the precision of activations and caches; "" means f32.
	Precision string `json:"precision,omitempty"`
	JSON      bool   `json:"-"`
	Draw      bool   `json:"-"`

	scale     lab.Scale
	precision backend.DType
}

// parse parses the command line.
func parse() (o options) {
	flag.StringVar(&o.Device, "device", "cpu", "device to run on: cpu or cuda:0")
	flag.Uint64Var(&o.Seed, "seed", 1,
		"seed of weights, base text, prompts and sampling; the held-out problems do not depend on it")
	flag.StringVar(&o.Out, "out", "",
		"output folder (default: out/r1zero, with a suffix for -quick, -precision, -seed and -control)")
	flag.IntVar(&o.BaseSteps, "base-steps", 0, "steps of base training (default: 2000, with -quick 1200)")
	flag.IntVar(&o.Steps, "steps", 0, "GRPO steps (default: 60, with -quick 26)")
	flag.IntVar(&o.Prompts, "prompts", 0,
		"prompts per GRPO step and number of held-out problems (default: 64 and 512, with -quick 32 and 128)")
	flag.BoolVar(&o.Resume, "resume", false,
		"continue the GRPO run in the output folder; without it, an existing GRPO run is set aside")
	flag.BoolVar(&o.Quick, "quick", false, "run a smaller task, with numbers up to 12, in 90 seconds on two cores")
	flag.StringVar(&o.Control, "control", "",
		"control: shuffled permutes rewards; unbalanced trains only a base model, without expert balancing")
	flag.StringVar(&o.Precision, "precision", "f32", "precision of activations and the KV cache: f32 or bf16")
	flag.BoolVar(&o.JSON, "json", false, "print the results as a JSON object on the last line of standard output")
	flag.BoolVar(&o.Draw, "draw", false, "only redraw curves.png of the run in the output folder")
	flag.Parse()
	return o
}

// resolve checks the flags and sets the values that follow from them.
func (o *options) resolve() (err error) {
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
	if o.precision, err = lab.Precision(o.Precision); err != nil {
		return err
	}
	if o.precision == backend.F32 {
		o.Precision = "" // config.json of older runs has no precision
	}
	if o.Out == "" {
		o.Out = defaultOut(*o)
	}
	o.scale = lab.Full
	if o.Quick {
		o.scale = lab.Quick
	}
	o.scale.BaseSteps, o.scale.RLSteps = cmp.Or(o.BaseSteps, o.scale.BaseSteps), cmp.Or(o.Steps, o.scale.RLSteps)
	if o.Prompts > 0 {
		o.scale.Prompts, o.scale.Problems = o.Prompts, min(o.Prompts, len(o.scale.Split().Test))
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

// model returns the options of the model.
func (o *options) model() model.Options { return model.Options{Precision: o.precision} }

// base returns the settings of base training.
func (o *options) base() lab.Base {
	return lab.Base{Dir: filepath.Join(o.Out, "base"), Seed: o.Seed, Scale: o.scale, Unbalanced: o.Control == "unbalanced"}
}

// settle writes the settings to the output folder, or returns an error if it has another run;
// see lab.Settle.
func (o *options) settle(c model.Config) error {
	return lab.Settle(o.Out, o.Resume, struct {
		Device     string       `json:"device"`
		Seed       uint64       `json:"seed"`
		Precision  string       `json:"precision,omitempty"`
		Unbalanced bool         `json:"unbalanced"`
		Scale      lab.Scale    `json:"scale"`
		Model      model.Config `json:"model"`
	}{o.Device, o.Seed, o.Precision, o.Control == "unbalanced", o.scale.Base(), c}, struct {
		options
		Scale lab.Scale    `json:"scale"`
		Model model.Config `json:"model"`
	}{*o, o.scale, c})
}

// machine describes the platform for the report of the speed.
func machine() string {
	return strings.Join([]string{runtime.GOOS, runtime.GOARCH, fmt.Sprint(runtime.GOMAXPROCS(0)), "threads"}, " ")
}
