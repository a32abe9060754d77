package tune

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"strings"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/examples/internal/lab"
)

// Options are the flags. Those with a name in JSON decide the result.
type Options struct {
	Device    string  `json:"device"`
	Model     string  `json:"model"`
	Data      string  `json:"data"`
	Out       string  `json:"-"`
	Format    string  `json:"format"`
	Rank      int     `json:"lora"`
	Alpha     float64 `json:"alpha"`
	Targets   string  `json:"targets"`
	Epochs    int     `json:"epochs"`
	Steps     int     `json:"steps"`
	LR        float64 `json:"lr"`
	Rows      int     `json:"rows"`
	MaxTokens int     `json:"max_tokens"`
	Held      float64 `json:"held"`
	Eval      int     `json:"-"`
	SaveEvery int     `json:"-"`
	Seed      uint64  `json:"seed"`
	Resume    bool    `json:"-"`
	JSON      bool    `json:"-"`

	What string `json:"-"` // a line of the data is one of
}

// Flags defines the flags. Lines of the data are one of what, such as "conversations", and
// lr is the default of -lr.
func (o *Options) Flags(what string, lr float64) {
	o.What = what
	one := strings.TrimSuffix(what, "s")
	flag.StringVar(&o.Device, "device", "cpu", "where to run: cpu, or cuda:0")
	flag.StringVar(&o.Model, "model", "", "folder of a checkpoint, or its .safetensors file, or a .gguf file")
	flag.StringVar(&o.Data, "data", "", "file of "+what+", one JSON object a line")
	flag.StringVar(&o.Out, "out", "", "output folder")
	flag.StringVar(&o.Format, "format", "f32", "of frozen weights and products: f32, bf16, fp8, q8, q4 or q4_1")
	flag.IntVar(&o.Rank, "lora", 16, "rank of the adapters; 0 trains all weights")
	flag.Float64Var(&o.Alpha, "alpha", 32, "the adapters' product is scaled by alpha/rank")
	flag.StringVar(&o.Targets, "targets", "all-linear", "projections that get adapters, separated by commas")
	flag.IntVar(&o.Epochs, "epochs", 1, "passes over the data")
	flag.IntVar(&o.Steps, "steps", 0, "optimizer steps, instead of -epochs")
	flag.Float64Var(&o.LR, "lr", lr,
		"peak of the learning rate, which rises for the first steps and then falls to a tenth")
	flag.IntVar(&o.Rows, "rows", 2048, "most tokens of one forward and backward, which bounds the memory")
	flag.IntVar(&o.MaxTokens, "max-tokens", 0,
		"longest "+one+" (default max_position_embeddings of the model, at most 4096)")
	flag.Float64Var(&o.Held, "held", 0.1, "part of the "+what+" that is held out, above 0 and below 1")
	flag.IntVar(&o.Eval, "eval", 0, "steps between evaluations of the held-out "+what+"; 0 means none between")
	flag.IntVar(&o.SaveEvery, "save-every", 50, "steps between checkpoints")
	flag.Uint64Var(&o.Seed, "seed", 1, "of adapters, of the order and of what is held out")
	flag.BoolVar(&o.Resume, "resume", false, "continue the run in the output folder")
	flag.BoolVar(&o.JSON, "json", false, "make the last line of standard output a JSON object of the results")
}

// AtLeast refuses the value of a flag that is below least.
func AtLeast(name string, value, least int) error {
	if value < least {
		return fmt.Errorf("-%s %d, want at least %d", name, value, least)
	}
	return nil
}

// check refuses values that no run can have, and returns the format.
func (o Options) check() (backend.Format, error) {
	f, err := lab.Format(o.Format)
	if err != nil {
		return f, err
	}
	for _, n := range []struct {
		name         string
		value, least int
	}{
		{"lora", o.Rank, 0}, {"epochs", o.Epochs, 1}, {"steps", o.Steps, 0}, {"rows", o.Rows, 1},
		{"max-tokens", o.MaxTokens, 0}, {"eval", o.Eval, 0}, {"save-every", o.SaveEvery, 1},
	} {
		if err := AtLeast(n.name, n.value, n.least); err != nil {
			return f, err
		}
	}
	switch {
	case o.Data == "":
		return f, fmt.Errorf("-data is missing: a file of %s, one JSON object a line", o.What)
	case o.Out == "":
		return f, errors.New("-out is missing: the output folder")
	case !(o.LR > 0) || o.LR > math.MaxFloat32:
		return f, fmt.Errorf("-lr %g, want a finite number above 0", o.LR)
	case !(o.Held > 0 && o.Held < 1):
		return f, fmt.Errorf("-held %g, want more than 0 and less than 1", o.Held)
	case o.Rank == 0 && f.ForwardOnly:
		return f, fmt.Errorf("-lora 0 -format %s: weights of that format do not train; choose f32 or bf16, or adapters",
			o.Format)
	}
	return f, nil
}

// targets are those of -targets.
func (o Options) targets() []string {
	var list []string
	for name := range strings.SplitSeq(o.Targets, ",") {
		list = append(list, strings.TrimSpace(name))
	}
	return list
}
