// Command distill hands what the reasoner of r1zero has learned to a dense
// student of half its size, as DeepSeek-R1 was distilled to Qwen and Llama.
//
//	go run ./examples/r1zero
//	go run ./examples/distill
//
// The student reads the same base text as its teacher did. From there it takes
// four ways: more traces of base quality (the control), the teacher's correct
// traces, the teacher's distributions on the same traces, and GRPO by itself for
// the same compute. A table on held-out problems compares where they lead.
//
// A run that was interrupted goes on where it stopped.
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
	Teacher string `json:"-"` // its weights decide, not its place
	Quick   bool   `json:"quick"`
	JSON    bool   `json:"-"`
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "where to run: cpu, or cuda:0")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the student's weights, prompts and draws; the base text is the teacher's")
	flag.StringVar(&o.Out, "out", "", "output folder (default out/distill, with a suffix for -quick and -seed)")
	flag.StringVar(&o.Teacher, "teacher", "",
		"output folder of the teacher's r1zero run (default out/r1zero, with the same suffix)")
	flag.BoolVar(&o.Quick, "quick", false, "every phase within 90 seconds; the figures mean nothing")
	flag.BoolVar(&o.JSON, "json", false, "make the last line of standard output a JSON object of the results")
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

// folder is the default output folder of an example.
func folder(name string, o options) string {
	if o.Quick {
		name += "-quick"
	}
	if o.Seed != 1 {
		name += fmt.Sprintf("-seed%d", o.Seed)
	}
	return filepath.Join("out", name)
}
