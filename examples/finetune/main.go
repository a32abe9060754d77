// Command finetune trains a model on conversations (supervised fine-tuning, SFT): all of its
// weights, or low-rank adapters (LoRA).
//
//	go run ./examples/finetune -model Llama-3.2-1B -data chats.jsonl -out out/tuned
//	go run ./examples/finetune -model Llama-3.2-1B -data chats.jsonl -out out/tuned -format q8
//	go run ./examples/finetune -model tiny -data ids.jsonl -out out/all -lora 0 -lr 1e-5 -epochs 3
//
// Each line of the data is one of
//
//	{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
//	{"question": "…", "answer": "…"}                       a chat of two messages, as in GSM8K
//	{"ids": [1, 887, 902, 2], "weight": [0, 0, 1, 1]}      token ids, and their weights in the loss
//
// The first two need the model's tokenizer and chat template, which are read from its folder
// or GGUF file; the loss is over the assistant's messages only, with the tokens that end
// them. The first may have "tools", too. Without weight the loss is over all token ids.
// Conversations are packed into a batch and do not attend to each other. Conversations
// longer than -max-tokens are left out and counted.
//
// The fraction -held of the conversations is held out. The held-out loss, in nats per token,
// is printed before and after training and every -eval steps.
//
// With -lora 0 all weights are trained. Otherwise adapters of that rank are trained, and the
// weights are frozen; these can be in the formats bf16, fp8, q8, q4 and q4_1 (QLoRA).
// Embedding and head are F32. -targets are suffixes of parameter names, such as
// q_proj,v_proj, or all-linear.
//
// The output folder has three subfolders: sft, with the checkpoints and metrics.jsonl of the
// run; adapter, which PEFT loads; and model, which transformers loads, in F32, with the
// adapters merged into the weights. examples/convert converts it to BF16.
//
// -resume continues a run that was stopped or killed; the result is the same, bit for bit.
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

// options are the flags. Those with a JSON name determine the result and are recorded.
type options struct {
	tune.Options
	Batch int `json:"batch"`
}

func main() {
	var o options
	o.Flags("conversations", 2e-4)
	flag.IntVar(&o.Batch, "batch", 4096, "maximum tokens per step, unless one conversation has more")
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
