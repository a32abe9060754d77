// Command dpo trains a checkpoint on preferences (direct preference optimization): all of
// its weights, or low-rank adapters beside them.
//
//	go run ./examples/dpo -model Llama-3.2-1B-Instruct -data pairs.jsonl -out out/preferred
//	go run ./examples/dpo -model Llama-3.2-1B-Instruct -data pairs.jsonl -out out/preferred -format q8
//	go run ./examples/dpo -model tiny -data ids.jsonl -out out/all -lora 0 -lr 1e-6 -precompute
//
// Each line of the data has a prompt and two completions of it, of which the chosen one is
// preferred, in one of the forms of TRL's preference format:
//
//	{"prompt": [{"role": "user", "content": "…"}], "chosen": [{"role": "assistant", …}], "rejected": […]}
//	{"chosen": [{"role": "user", …}, {"role": "assistant", …}], "rejected": […]}   both begin with the prompt
//	{"prompt": "…", "chosen": "…", "rejected": "…"}                                texts, without a chat template
//	{"prompt": [1, 887], "chosen": [902, 2], "rejected": [17, 2]}                  token ids, those that end included
//
// Chats need the model's tokenizer and chat template, which are in its folder or GGUF file,
// and may have "tools"; texts need the tokenizer, whose end of text is appended where they
// lack it. Any line may have a "weight", that of its loss. Pairs of which one completion is
// longer than -max-tokens with its prompt are left out, and so are pairs of equal
// completions; both are counted.
//
// The reference model is that of -model. With adapters it is the model with the adapters
// off; with -lora 0 it is a copy or, with -precompute, its log-probabilities of all pairs,
// computed before the first step.
//
// A part of the pairs, -held, is not trained on. How often the chosen completion of these
// has the greater reward is printed at the end, and every -eval steps.
//
// With -lora 0 all weights train. Otherwise adapters of that rank do, beside frozen weights
// that may be in the formats bf16, fp8, q8, q4 and q4_1 (QLoRA); embedding and head are F32.
// Targets are the ends of names, such as q_proj,v_proj, or all-linear.
//
// The output folder gets dpo, the run's checkpoints and metrics.jsonl; adapter, which PEFT
// loads; and model, which examples/generate and transformers load, in F32, with the adapters
// merged into the weights of -model.
//
// A run that was stopped or killed goes on with -resume, bit for bit.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"

	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/rl"
)

// options are the flags. Those with a name in JSON decide the result.
type options struct {
	tune.Options
	Batch      int     `json:"batch"`
	Beta       float64 `json:"beta"`
	Loss       string  `json:"loss"`
	Smoothing  float64 `json:"label_smoothing"`
	Precompute bool    `json:"precompute"`
}

func main() {
	var o options
	o.Flags("pairs", 1e-5)
	flag.IntVar(&o.Batch, "batch", 8, "pairs of a step")
	flag.Float64Var(&o.Beta, "beta", 0.1, "how strongly the model is held to the reference model")
	flag.StringVar(&o.Loss, "loss", "sigmoid", "sigmoid, robust, ipo or sigmoid_norm")
	flag.Float64Var(&o.Smoothing, "label-smoothing", 0,
		"probability that a pair is labelled the wrong way round, below 0.5")
	flag.BoolVar(&o.Precompute, "precompute", false,
		"score all pairs by the reference model first, instead of a copy of the model")
	flag.Parse()

	lab.Main("dpo", "the same command with -resume continues", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		return start(ctx, o)
	})
}

func (o options) check() error {
	if err := tune.AtLeast("batch", o.Batch, 1); err != nil {
		return err
	}
	if !(o.Beta > 0) || math.IsInf(o.Beta, 0) {
		return fmt.Errorf("-beta %g, want a finite number above 0", o.Beta)
	}
	smooths := false
	switch l := rl.PreferenceLoss(o.Loss); l {
	case rl.PreferenceSigmoid, rl.PreferenceRobust:
		smooths = true
	case rl.PreferenceIPO, rl.PreferenceSigmoidNorm:
	default:
		return fmt.Errorf("-loss %q, want sigmoid, robust, ipo or sigmoid_norm", o.Loss)
	}
	switch e := o.Smoothing; {
	case !(e >= 0 && e < 0.5):
		return fmt.Errorf("-label-smoothing %g, want 0 or more and less than 0.5", e)
	case e != 0 && !smooths:
		return fmt.Errorf("-label-smoothing %g: -loss %s has none", e, o.Loss)
	}
	return nil
}

func start(ctx context.Context, o options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	r, err := tune.New(o.Options)
	if err != nil {
		return err
	}
	o.Options = r.Options
	d, err := readData(r.Data, r.Texts, r.Config, r.MaxTokens)
	if err != nil {
		return err
	}
	if n := len(d.train); n < 2 {
		return fmt.Errorf("%s: %d pairs to train on (%d are too long, %d have equal completions), want at least 2",
			r.Data, n, d.long, d.equal)
	}
	d.train, d.held = tune.Split(d.train, r.Held, r.Seed)
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Open(); err != nil {
		return err
	}
	t := &tuning{Run: r, options: o, data: d, steps: r.Steps}
	if t.steps == 0 {
		t.steps = (&rl.DPO{Pairs: d.train, Batch: o.Batch}).StepsOf(r.Epochs)
	}
	if err := t.all(ctx); err != nil {
		return err
	}
	if r.JSON {
		return json.NewEncoder(os.Stdout).Encode(t.result)
	}
	return nil
}
