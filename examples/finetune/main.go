// Command finetune trains a checkpoint on conversations (supervised fine-tuning): all of
// its weights, or low-rank adapters beside them.
//
//	go run ./examples/finetune -model Llama-3.2-1B -data chats.jsonl -out out/tuned
//	go run ./examples/finetune -model Llama-3.2-1B -data chats.jsonl -out out/tuned -format q8
//	go run ./examples/finetune -model tiny -data ids.jsonl -out out/all -lora 0 -lr 1e-5 -epochs 3
//
// Each line of the data is one of
//
//	{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
//	{"question": "…", "answer": "…"}                       a chat of two messages, as GSM8K has them
//	{"ids": [1, 887, 902, 2], "weight": [0, 0, 1, 1]}      token ids, and which of them are learned
//
// The first two need the model's tokenizer and chat template, which are in its folder or GGUF
// file, and learn the assistant's messages alone, with the tokens that end them; the first
// may have "tools" too. Without weight all ids are learned. Conversations are packed without
// attention from one to another. Those longer than -max-tokens are left out, and counted.
//
// A part of the conversations, -held, is not trained on: the loss on it, the mean over the
// tokens that would be learned of −log p in nats, is printed before, after, and every -eval
// steps.
//
// With -lora 0 all weights train. Otherwise adapters of that rank do, beside frozen weights
// that may be in the formats bf16, fp8, q8, q4 and q4_1 (QLoRA); embedding and head are F32.
// Targets are the ends of names, such as q_proj,v_proj, or all-linear.
//
// The output folder gets sft, the run's checkpoints and metrics.jsonl; adapter, which PEFT
// loads; and model, which transformers loads, in F32, with the adapters merged into the
// weights of -model. examples/convert makes BF16 of it.
//
// A run that was stopped or killed goes on with -resume, bit for bit.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model/train"
)

// options are the flags. Those with a name in JSON decide the result.
type options struct {
	tune.Options
	Batch int `json:"batch"`
}

func main() {
	var o options
	o.Flags("conversations", 2e-4)
	flag.IntVar(&o.Batch, "batch", 4096, "most tokens of a step, unless one conversation has more")
	flag.Parse()

	lab.Main("finetune", "the same command with -resume continues", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		return start(ctx, o)
	})
}

func start(ctx context.Context, o options) (err error) {
	if err := tune.AtLeast("batch", o.Batch, 1); err != nil {
		return err
	}
	r, err := tune.New(o.Options)
	if err != nil {
		return err
	}
	d, err := readData(r.Data, r.Texts, r.Config.VocabSize, r.MaxTokens)
	if err != nil {
		return err
	}
	if err := d.split(r.Held, r.Seed); err != nil {
		return fmt.Errorf("%s: %w", r.Data, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Open(); err != nil {
		return err
	}
	t := &tuning{Run: r, batch: o.Batch, data: d, steps: r.Steps,
		epochs: &train.Epochs{Sequences: d.train, Rows: o.Batch, Seed: r.Seed}}
	if t.steps == 0 {
		t.steps = t.epochs.Steps(r.Epochs)
	}
	if err := t.all(ctx); err != nil {
		return err
	}
	if r.JSON {
		return json.NewEncoder(os.Stdout).Encode(t.result)
	}
	return nil
}
