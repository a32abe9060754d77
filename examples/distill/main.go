// Command distill distills the reasoning model of r1zero into a dense student with
// half its active parameters, as DeepSeek-R1 was distilled into Qwen and Llama.
//
//	go run ./examples/r1zero
//	go run ./examples/distill
//
// The student is first trained on the same base text as its teacher. Four copies of
// it are then trained further: by SFT on more traces of the quality of the base text
// (the control), by SFT on the teacher's correct traces, on the teacher's
// distributions over the tokens of these traces (logit distillation), and by GRPO
// alone with the same compute. A table compares their results on held-out problems.
//
// The same command continues a run that was interrupted.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model/train/run"
)

// options are the flags.
type options struct {
	Device  string `json:"device"`
	Seed    uint64 `json:"seed"`
	Out     string `json:"-"`
	Teacher string `json:"-"` // the weights' checksum is recorded, not the path
	Quick   bool   `json:"quick"`
	JSON    bool   `json:"-"`
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "device to run on: cpu or cuda:0")
	flag.Uint64Var(&o.Seed, "seed", 1,
		"seed of the student's weights, the prompts and sampling; the base text is that of the teacher")
	flag.StringVar(&o.Out, "out", "", "output folder (default: out/distill, with a suffix for -quick and -seed)")
	flag.StringVar(&o.Teacher, "teacher", "",
		"output folder of the teacher's r1zero run (default: out/r1zero, with the same suffix)")
	flag.BoolVar(&o.Quick, "quick", false, "run every phase briefly, within 90 seconds; the results mean nothing")
	flag.BoolVar(&o.JSON, "json", false, "print the results as a JSON object on the last line of standard output")
	flag.Parse()

	lab.Main("distill", "the same command continues", func(ctx context.Context) error { return start(ctx, o) })
}

func start(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.Out == "" {
		o.Out = folder("distill", o)
	}
	if o.Teacher == "" {
		o.Teacher = folder("r1zero", o)
	}
	r := &experiment{options: o, scale: full}
	if o.Quick {
		r.scale = quick
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
	r.b = b
	if err := r.all(ctx); err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(os.Stdout).Encode(r.result)
	}
	return nil
}

// folder returns the default output folder of the named example.
func folder(name string, o options) string {
	if o.Quick {
		name += "-quick"
	}
	if o.Seed != 1 {
		name += fmt.Sprintf("-seed%d", o.Seed)
	}
	return filepath.Join("out", name)
}
