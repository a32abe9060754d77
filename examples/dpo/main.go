// Command dpo trains a model on preference pairs (direct preference optimization, DPO): all
// of its weights, or low-rank adapters (LoRA).
//
//	go run ./examples/dpo -model Llama-3.2-1B-Instruct -data pairs.jsonl -out out/preferred
//	go run ./examples/dpo -model Llama-3.2-1B-Instruct -data pairs.jsonl -out out/preferred -format q8
//	go run ./examples/dpo -model tiny -data ids.jsonl -out out/all -lora 0 -lr 1e-6 -precompute
//
// Each line of the data has a prompt and two completions, of which the chosen one is
// preferred, in one of the forms of TRL's preference format:
//
//	{"prompt": [{"role": "user", "content": "…"}], "chosen": [{"role": "assistant", …}], "rejected": […]}
//	{"chosen": [{"role": "user", …}, {"role": "assistant", …}], "rejected": […]}   both begin with the prompt
//	{"prompt": "…", "chosen": "…", "rejected": "…"}                                texts, without a chat template
//	{"prompt": [1, 887], "chosen": [902, 2], "rejected": [17, 2]}                  token ids with end-of-text
//
// Chats need the model's tokenizer and chat template, which are read from its folder or GGUF
// file, and may have "tools". Texts need the tokenizer; the end-of-text token is appended to
// completions that lack it. Any line may have a "weight" for its loss. Pairs are left out,
// and counted, if a completion with its prompt is longer than -max-tokens or if both
// completions are the same.
//
// The reference model is the model of -model. With adapters it is the trained model with the
// adapters off. With -lora 0 it is a second copy of the model; with -precompute its
// log-probabilities of all pairs are computed before the first step, and no copy is kept.
//
// The fraction -held of the pairs is held out. The share of held-out pairs whose chosen
// completion has the greater reward is printed at the end and every -eval steps.
//
// With -lora 0 all weights are trained. Otherwise adapters of that rank are trained, and the
// weights are frozen; these can be in the formats bf16, fp8, q8, q4 and q4_1 (QLoRA).
// Embedding and head are F32. -targets are suffixes of parameter names, such as
// q_proj,v_proj, or all-linear.
//
// The output folder has three subfolders: dpo, with the checkpoints and metrics.jsonl of the
// run; adapter, which PEFT loads; and model, which examples/generate and transformers load,
// in F32, with the adapters merged into the weights.
//
// -resume continues a run that was stopped or killed; the result is the same, bit for bit.
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

// options are the flags. Those with a JSON name determine the result and are recorded.
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
	flag.IntVar(&o.Batch, "batch", 8, "pairs per step")
	flag.Float64Var(&o.Beta, "beta", 0.1, "beta of the DPO loss: higher keeps the model closer to the reference model")
	flag.StringVar(&o.Loss, "loss", "sigmoid", "loss function: sigmoid, robust, ipo or sigmoid_norm")
	flag.Float64Var(&o.Smoothing, "label-smoothing", 0,
		"assumed probability that the chosen and the rejected completion are swapped, below 0.5")
	flag.BoolVar(&o.Precompute, "precompute", false,
		"compute the reference model's log-probabilities before training instead of keeping a copy of the model")
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
		return fmt.Errorf("-label-smoothing %g: -loss %s has no label smoothing", e, o.Loss)
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
