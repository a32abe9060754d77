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
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
)

// options are the flags. Those with a name in JSON decide the result.
type options struct {
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
	Batch     int     `json:"batch"`
	Rows      int     `json:"rows"`
	MaxTokens int     `json:"max_tokens"`
	Held      float64 `json:"held"`
	Eval      int     `json:"-"`
	SaveEvery int     `json:"-"`
	Seed      uint64  `json:"seed"`
	Resume    bool    `json:"-"`
	JSON      bool    `json:"-"`
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "where to run: cpu, or cuda:0")
	flag.StringVar(&o.Model, "model", "", "folder of a checkpoint, or its .safetensors file, or a .gguf file")
	flag.StringVar(&o.Data, "data", "", "file of conversations, one JSON object a line")
	flag.StringVar(&o.Out, "out", "", "output folder")
	flag.StringVar(&o.Format, "format", "f32", "of frozen weights and products: f32, bf16, fp8, q8, q4 or q4_1")
	flag.IntVar(&o.Rank, "lora", 16, "rank of the adapters; 0 trains all weights")
	flag.Float64Var(&o.Alpha, "alpha", 32, "the adapters' product is scaled by alpha/rank")
	flag.StringVar(&o.Targets, "targets", "all-linear", "projections that get adapters, separated by commas")
	flag.IntVar(&o.Epochs, "epochs", 1, "passes over the data")
	flag.IntVar(&o.Steps, "steps", 0, "optimizer steps, instead of -epochs")
	flag.Float64Var(&o.LR, "lr", 2e-4,
		"peak of the learning rate, which rises for the first steps and then falls to a tenth")
	flag.IntVar(&o.Batch, "batch", 4096, "most tokens of a step, unless one conversation has more")
	flag.IntVar(&o.Rows, "rows", 2048, "most tokens of one forward and backward, which bounds the memory")
	flag.IntVar(&o.MaxTokens, "max-tokens", 0,
		"longest conversation (default max_position_embeddings of the model, at most 4096)")
	flag.Float64Var(&o.Held, "held", 0.1, "part of the conversations that is held out, above 0 and below 1")
	flag.IntVar(&o.Eval, "eval", 0, "steps between evaluations of the held-out loss; 0 means before and after alone")
	flag.IntVar(&o.SaveEvery, "save-every", 50, "steps between checkpoints")
	flag.Uint64Var(&o.Seed, "seed", 1, "of adapters, of the order and of what is held out")
	flag.BoolVar(&o.Resume, "resume", false, "continue the run in the output folder")
	flag.BoolVar(&o.JSON, "json", false, "make the last line of standard output a JSON object of the results")
	flag.Parse()

	lab.Main("finetune", "the same command with -resume continues", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		return start(ctx, o)
	})
}

// check refuses values that no run can have, and returns the format.
func (o options) check() (backend.Format, error) {
	f, err := lab.Format(o.Format)
	if err != nil {
		return f, err
	}
	for _, n := range []struct {
		name         string
		value, least int
	}{
		{"lora", o.Rank, 0}, {"epochs", o.Epochs, 1}, {"steps", o.Steps, 0}, {"batch", o.Batch, 1}, {"rows", o.Rows, 1},
		{"max-tokens", o.MaxTokens, 0}, {"eval", o.Eval, 0}, {"save-every", o.SaveEvery, 1},
	} {
		if n.value < n.least {
			return f, fmt.Errorf("-%s %d, want at least %d", n.name, n.value, n.least)
		}
	}
	switch {
	case o.Data == "":
		return f, errors.New("-data is missing: a file of conversations, one JSON object a line")
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

func start(ctx context.Context, o options) error {
	format, err := o.check()
	if err != nil {
		return err
	}
	c, dir, err := lab.ReadConfig(o.Model)
	if err != nil {
		return err
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = min(c.MaxPositionEmbeddings, 4096)
	}
	if o.MaxTokens > c.MaxPositionEmbeddings {
		return fmt.Errorf("-max-tokens %d, max_position_embeddings of the model is %d", o.MaxTokens, c.MaxPositionEmbeddings)
	}
	d, err := readData(o.Data, cmp.Or(dir, o.Model), c.VocabSize, o.MaxTokens)
	if err != nil {
		return err
	}
	if err := d.split(o.Held, o.Seed); err != nil {
		return fmt.Errorf("%s: %w", o.Data, err)
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
	t := &tuning{options: o, format: format, config: c, b: b, data: d, steps: o.Steps,
		epochs: &train.Epochs{Sequences: d.train, Rows: o.Batch, Seed: o.Seed}}
	if t.steps == 0 {
		t.steps = t.epochs.Steps(o.Epochs)
	}
	if err := t.all(ctx); err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(os.Stdout).Encode(t.result)
	}
	return nil
}

// targets are those of -targets.
func (o options) targets() []string {
	var list []string
	for name := range strings.SplitSeq(o.Targets, ",") {
		list = append(list, strings.TrimSpace(name))
	}
	return list
}
