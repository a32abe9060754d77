// Command grpo trains a checkpoint by reinforcement learning from verifiable rewards: GRPO
// and the losses that grew out of it, or PPO, on all weights or on low-rank adapters.
//
//	go run ./examples/grpo -preset r1-zero -model SmolLM2-135M.gguf -data gsm8k_train.jsonl -out out/zero \
//		-lora 16 -prompts 4 -mini-batches 1 -max-completion-length 128
//	go run ./examples/grpo -config mine.json -model Qwen3-0.6B -data problems.jsonl -out out/mine
//	go run ./examples/grpo -preset ppo -model tiny -data problems.jsonl -out out/ppo -prompts 32
//
// Each line of the data is a problem with its answer:
//
//	{"question": "…", "answer": "… #### 72"}                             as GSM8K has them
//	{"prompt": "…", "answer": "1/2"}
//	{"prompt": [{"role": "user", "content": "…"}], "answer": "7"}        for the template chat
//
// The answer is what the rewards compare with: of math and gsm8k a solution, a number or, of
// math, an array of right ones; of the others see examples/grade, which has the same rewards.
// A "source" names the data set in the metrics of evaluations. Prompts longer than
// -max-prompt-length, or than the model takes, are left out, and counted.
//
// What a run does is a configuration: that of -preset, then the JSON object in the file of
// -config, then flags; each key is a flag too, max_completion_length as -max-completion-length.
// An unknown key is an error. Presets are published runs; -presets lists them with their
// sources. Their batches are those of clusters: set prompts, mini_batches and
// max_completion_length to what the machine does.
//
// Templates: r1-zero is that of DeepSeek-R1-Zero, for base models; tinyzero that of TinyZero;
// plain "Question: … Answer: Let's think step by step."; chat the model's own; none the problem
// as it is. Rewards beside those of examples/grade: overlong (DAPO's punishment of length, from
// four fifths of max_completion_length on), cosine and length (correctness by length), and
// format_spaced (format, with blanks around its tags). A reward of weight 0 is measured alone:
// an alarm tells when it falls while the others rise.
//
// Before the first step the memory of the run and a preflight are printed: the exact prompt of a
// problem, a completion, and what each reward says of it. Samples follow every -samples-every
// steps, warnings of what looks wrong as they come, and the accuracy on held-out problems before,
// after, and every -eval-every steps.
//
// The output folder gets resolved.json, the configuration with all its keys, which -config
// reads; grpo, the run's checkpoints and metrics.jsonl; adapter, which PEFT loads; and model,
// which examples/generate and transformers load, in F32, with the adapters merged.
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
	"github.com/aha-go/aha/examples/internal/keys"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/tune"
)

// options are the flags that are not keys of the configuration.
type options struct {
	Device, Model, Data, Out, Config string
	Resume, JSON, Presets            bool
}

func main() {
	var o options
	var c config
	k := keys.Of(&c)
	flag.StringVar(&o.Device, "device", "cpu", "where to run: cpu, or cuda:0")
	flag.StringVar(&o.Model, "model", "", "folder of a checkpoint, or its .safetensors file, or a .gguf file")
	flag.StringVar(&o.Data, "data", "", "file of problems, one JSON object a line")
	flag.StringVar(&o.Out, "out", "", "output folder")
	flag.StringVar(&o.Config, "config", "", "file of a configuration, a JSON object")
	flag.BoolVar(&o.Resume, "resume", false, "continue the run in the output folder")
	flag.BoolVar(&o.JSON, "json", false, "make the last line of standard output a JSON object of the results")
	flag.BoolVar(&o.Presets, "presets", false, "list the presets and where they are from, and do nothing else")
	k.Flags(flag.CommandLine)
	flag.Parse()

	lab.Main("grpo", "the same command with -resume continues", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		if o.Presets {
			for _, p := range presets {
				fmt.Printf("%-12s %s\n", p.name, p.source)
			}
			return nil
		}
		return start(ctx, o, &c, k)
	})
}

func start(ctx context.Context, o options, c *config, k *keys.Keys) (err error) {
	notes, err := c.resolve(k, o.Config)
	if err != nil {
		return err
	}
	r, err := tune.New(tune.Options{
		Device: o.Device, Model: o.Model, Data: o.Data, Out: o.Out, Format: c.Format, Rank: c.Rank, Alpha: c.Alpha,
		Targets: c.Targets, Epochs: 1, Steps: c.Steps, LR: c.LR, Rows: c.Rows, Held: c.Held, SaveEvery: c.SaveEvery,
		Seed: c.Seed, Resume: o.Resume, JSON: o.JSON, What: "problems",
	})
	if err != nil {
		return err
	}
	room := r.Config.MaxPositionEmbeddings - c.MaxTokens
	if room < 1 {
		return fmt.Errorf("max_completion_length is %d, max_position_embeddings of the model is %d", c.MaxTokens,
			r.Config.MaxPositionEmbeddings)
	}
	if c.MaxPrompt > 0 {
		room = min(room, c.MaxPrompt)
	}
	w, err := newWriter(c, r.Texts, r.Config.VocabSize)
	if err != nil {
		return err
	}
	p, err := w.read(r.Data, room)
	if err != nil {
		return err
	}
	t := &training{Run: r, config: c, keys: k, writer: w, data: p}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := r.Open(); err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Println(n)
	}
	if err := t.all(ctx); err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(os.Stdout).Encode(t.result)
	}
	return nil
}
