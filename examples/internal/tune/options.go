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

// Options are the flags. Those with a JSON name determine the result and are recorded.
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

	What string `json:"-"` // what the lines of the data are, such as "conversations"
}

// Flags defines the flags. what says what the lines of the data are, such as "conversations";
// lr is the default of -lr.
func (o *Options) Flags(what string, lr float64) {
	o.What = what
	one := strings.TrimSuffix(what, "s")
	flag.StringVar(&o.Device, "device", "cpu", "device to run on: cpu or cuda:0")
	flag.StringVar(&o.Model, "model", "", "model folder, its .safetensors file, or a .gguf file")
	flag.StringVar(&o.Data, "data", "", "file of "+what+", one JSON object per line")
	flag.StringVar(&o.Out, "out", "", "output folder")
	flag.StringVar(&o.Format, "format", "f32", "format of the frozen weights: f32, bf16, fp8, q8, q4 or q4_1")
	flag.IntVar(&o.Rank, "lora", 16, "rank of the LoRA adapters; 0 trains all weights")
	flag.Float64Var(&o.Alpha, "alpha", 32, "LoRA alpha: the adapters' output is scaled by alpha/rank")
	flag.StringVar(&o.Targets, "targets", "all-linear", "projections that get adapters, separated by commas")
	flag.IntVar(&o.Epochs, "epochs", 1, "passes over the data")
	flag.IntVar(&o.Steps, "steps", 0, "optimizer steps; if set, -epochs is ignored")
	flag.Float64Var(&o.LR, "lr", lr,
		"peak learning rate: a warm-up over 1/30 of the steps leads to it, then it decays linearly to a tenth")
	flag.IntVar(&o.Rows, "rows", 2048, "maximum tokens of a micro-batch (a forward and backward); it limits the memory")
	flag.IntVar(&o.MaxTokens, "max-tokens", 0,
		"maximum tokens of a "+one+" (default: max_position_embeddings of the model, at most 4096)")
	flag.Float64Var(&o.Held, "held", 0.1, "fraction of the "+what+" that is held out, above 0 and below 1")
	flag.IntVar(&o.Eval, "eval", 0, "steps between evaluations on the held-out "+what+"; 0 means none during training")
	flag.IntVar(&o.SaveEvery, "save-every", 50, "steps between checkpoints")
	flag.Uint64Var(&o.Seed, "seed", 1, "seed of the adapters, the order of the data and the held-out "+what)
	flag.BoolVar(&o.Resume, "resume", false, "continue the run in the output folder")
	flag.BoolVar(&o.JSON, "json", false, "print the results as a JSON object on the last line of standard output")
}

// AtLeast returns an error if the value of a flag is below least.
func AtLeast(name string, value, least int) error {
	if value < least {
		return fmt.Errorf("-%s %d, want at least %d", name, value, least)
	}
	return nil
}

// check returns an error if a value is invalid, and the format of the weights.
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
		return f, fmt.Errorf("-data is missing: a file of %s, one JSON object per line", o.What)
	case o.Out == "":
		return f, errors.New("-out is missing: the output folder")
	case !(o.LR > 0) || o.LR > math.MaxFloat32:
		return f, fmt.Errorf("-lr %g, want a finite number above 0", o.LR)
	case !(o.Held > 0 && o.Held < 1):
		return f, fmt.Errorf("-held %g, want more than 0 and less than 1", o.Held)
	case o.Rank == 0 && f.ForwardOnly:
		return f, fmt.Errorf("-lora 0 -format %s: weights in that format cannot be trained; choose f32 or bf16, or adapters",
			o.Format)
	}
	return f, nil
}

// targets returns the list of -targets.
func (o Options) targets() []string {
	var list []string
	for name := range strings.SplitSeq(o.Targets, ",") {
		list = append(list, strings.TrimSpace(name))
	}
	return list
}
