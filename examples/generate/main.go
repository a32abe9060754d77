// Command generate completes a prompt of token ids with a checkpoint: a folder or a
// file of safetensors beside its config.json, as Hugging Face has them, or a GGUF file.
//
//	go run ./examples/generate -model DeepSeek-V2-Lite -prompt-ids 100000,549,6077 -max-tokens 32 -format q8
//	go run ./examples/generate -model Qwen3-0.6B -prompt-ids 785,6722 -temperature 0.6 -top-p 0.95 -seed 7 -ids
//
// New ids are printed one a line as they are drawn, or with -ids all on one line at
// the end and nothing else. The number of tokens and their rate go to standard
// error, which shows a bar meanwhile if it is a terminal.
//
// Generation ends after -max-tokens ids, 64 by default, or with an eos_token_id of
// generation_config.json or else of config.json, which is printed too.
//
// The formats f32, bf16, fp8, q8 and q4 are those of the weights and of products;
// activations and the cache are F32. With fp8 embedding and head are bf16.
//
// -logprobs writes a line {"id":…,"logprob":…} for each new token: its
// log-probability in nats under the softmax of the model's logits, without
// temperature and top-p, whatever it was drawn with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
)

// options are the flags.
type options struct {
	Device, Model, Format string
	PromptIDs             string
	MaxTokens             int
	Temperature, TopP     float64
	Seed                  uint64
	IDs                   bool
	LogProbs              string // a file; "" means none
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "where to run: cpu, or cuda:0")
	flag.StringVar(&o.Model, "model", "", "folder of a checkpoint, its .safetensors file beside config.json, or a .gguf file")
	flag.StringVar(&o.Format, "format", "f32", "of weights and products: f32, bf16, fp8, q8 or q4")
	flag.StringVar(&o.PromptIDs, "prompt-ids", "", "token ids of the prompt, separated by commas")
	flag.IntVar(&o.MaxTokens, "max-tokens", 0,
		"most new tokens, the one that ends the text included (default 64, or fewer if the context has no room for them)")
	flag.Float64Var(&o.Temperature, "temperature", 0, "0 means greedy: the most likely token")
	flag.Float64Var(&o.TopP, "top-p", 1, "draw from the most likely tokens that have this probability together")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the draws")
	flag.BoolVar(&o.IDs, "ids", false, "print the new ids alone, on one line")
	flag.StringVar(&o.LogProbs, "logprobs", "", "file to which ids and log-probabilities are written, as JSON lines")
	flag.Parse()

	lab.Main("generate", "ids already printed stand", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		return start(ctx, o)
	})
}

func start(ctx context.Context, o options) error {
	request, format, err := o.request()
	if err != nil {
		return err
	}
	c, dir, err := lab.ReadConfig(o.Model)
	if err != nil {
		return err
	}
	if err := fits(&request, c); err != nil {
		return err
	}
	if request.Stop, err = stop(dir, c); err != nil {
		return err
	}
	if len(request.Stop) == 0 {
		fmt.Fprintf(os.Stderr, "generate: no eos_token_id in %s: only -max-tokens ends the text\n", o.Model)
	}
	b, err := lab.Open(o.Device)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := lab.Load(b, o.Model, c, format)
	if err != nil {
		return err
	}
	defer m.Free()
	bar := progress.New(request.MaxTokens, "generating", "tokens")
	defer bar.Close()
	summary, err := run(ctx, m, request, o, bar, func() { bar.Add(1) })
	if err != nil {
		return err
	}
	bar.Close()
	fmt.Fprintln(os.Stderr, summary)
	return nil
}

// request is what the flags ask for, and the format of the weights.
func (o options) request() (r model.Request, f backend.Format, err error) {
	if o.PromptIDs == "" {
		return r, f, errors.New("-prompt-ids is missing")
	}
	for _, text := range strings.Split(o.PromptIDs, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil || id < 0 {
			return r, f, fmt.Errorf("-prompt-ids: %q is no token id", text)
		}
		r.Prompt = append(r.Prompt, int32(id))
	}
	r.MaxTokens, r.Seed, r.Sampling = o.MaxTokens, o.Seed, model.Sampling{Temperature: o.Temperature, TopP: o.TopP}
	switch {
	case o.MaxTokens < 0:
		return r, f, fmt.Errorf("-max-tokens %d, want a positive number", o.MaxTokens)
	case o.Temperature != 0 && !(o.Temperature >= model.MinTemperature && o.Temperature <= math.MaxFloat64):
		return r, f, fmt.Errorf("-temperature %g, want 0 or at least %g", o.Temperature, model.MinTemperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return r, f, fmt.Errorf("-top-p %g, want more than 0 and at most 1", o.TopP)
	}
	if o.LogProbs != "" { // rather now than when all is drawn
		dir := filepath.Dir(o.LogProbs)
		if info, err := os.Stat(dir); err != nil {
			return r, f, fmt.Errorf("-logprobs: %w", err)
		} else if !info.IsDir() {
			return r, f, fmt.Errorf("-logprobs: %s is not a folder", dir)
		}
	}
	f, err = lab.Format(o.Format)
	return r, f, err
}
