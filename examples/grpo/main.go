// Command grpo trains a model by reinforcement learning with verifiable rewards: GRPO and its
// variants, or PPO, on all weights or on low-rank adapters (LoRA).
//
//	go run ./examples/grpo -preset r1-zero -model SmolLM2-135M.gguf -data gsm8k_train.jsonl -out out/zero \
//		-lora 16 -prompts 4 -mini-batches 1 -max-completion-length 128
//	go run ./examples/grpo -config mine.json -model Qwen3-0.6B -data problems.jsonl -out out/mine
//	go run ./examples/grpo -preset ppo -model tiny -data problems.jsonl -out out/ppo -prompts 32
//
// Each line of the data is a problem with its answer:
//
//	{"question": "…", "answer": "… #### 72"}                             as in GSM8K
//	{"prompt": "…", "answer": "1/2"}
//	{"prompt": [{"role": "user", "content": "…"}], "answer": "7"}        for the template chat
//
// The answer is the gold answer of the rewards. For math and gsm8k it is a solution or a
// number; for math it can also be an array of correct answers. See examples/grade for the other
// rewards. "source" names the data set in the metrics of evaluations. Prompts longer than
// -max-prompt-length, or too long for the model, are left out and counted.
//
// The configuration of a run is that of -preset, overridden by the JSON object in the file of
// -config, overridden by flags. Each key is also a flag, such as -max-completion-length for
// max_completion_length. Unknown keys are errors. Presets are published runs; -presets lists
// them with their sources. Their batch sizes are meant for clusters: set prompts, mini_batches
// and max_completion_length to sizes for your machine.
//
// The templates are r1-zero, the template of DeepSeek-R1-Zero, for base models; tinyzero, that
// of TinyZero; plain, "Question: … Answer: Let's think step by step."; chat, the chat template
// of the model; and none, the problem without a template. The rewards are those of
// examples/grade and four more: overlong is DAPO's soft overlong punishment, over the last fifth
// of max_completion_length; cosine is correctness scaled by length; length is the length reward
// of Kimi k1.5; format_spaced is format, but allows white space between the parts. A reward of
// weight 0 is only measured; a warning is logged if it falls while the others rise.
//
// Before the first step the command prints the memory that the run needs and a preflight check:
// the exact prompt of a problem, a completion, and what each reward gives for it. After its first
// step it prints about how long the remaining ones will take. It prints a sample every
// -samples-every steps, warnings when something looks wrong, and the accuracy on held-out problems
// before and after training and every -eval-every steps.
//
// The output folder has resolved.json, the configuration with all keys, which -config reads;
// grpo, with the checkpoints and metrics.jsonl of the run; adapter, which PEFT loads; and model,
// which examples/generate and transformers load, in F32, with the adapters merged.
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
	c := base()
	k := keys.Of(&c)
	flag.StringVar(&o.Device, "device", "cpu", "device to run on: cpu or cuda:0")
	flag.StringVar(&o.Model, "model", "", "model folder, its .safetensors file, or a .gguf file")
	flag.StringVar(&o.Data, "data", "", "file of problems, one JSON object per line")
	flag.StringVar(&o.Out, "out", "", "output folder")
	flag.StringVar(&o.Config, "config", "", "configuration file: a JSON object")
	flag.BoolVar(&o.Resume, "resume", false, "continue the run in the output folder")
	flag.BoolVar(&o.JSON, "json", false, "print the results as a JSON object on the last line of standard output")
	flag.BoolVar(&o.Presets, "presets", false, "list the presets with their sources and exit")
	k.Flags(flag.CommandLine)
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "usage: grpo -model MODEL -data problems.jsonl -out OUT "+
			"-lora 16 -prompts 4 -max-completion-length 128\n"+
			"Defaults are those without -preset; -presets lists the presets.\n")
		flag.PrintDefaults()
	}
	flag.Parse()

	lab.Main("grpo", "the same command with -resume continues", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		if o.Presets {
			return listPresets(os.Stdout)
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
