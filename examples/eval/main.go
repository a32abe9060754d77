// Command eval measures the perplexity of a model on texts.
//
//	go run ./examples/eval -model Qwen3-0.6B -context 1024 -json a.txt b.txt
//	go run ./examples/eval -model SmolLM2-135M-Instruct.gguf -format q8 heldout.jsonl
//	go run ./examples/eval -model DeepSeek-V2-Lite -type uint32 heldout.bin
//
// -type says what a file contains: one text (text), a text as {"text": …} in each line
// (jsonl), or the token ids of one text, as decimal numbers separated by white space
// (ids) or as little-endian integers (uint16, uint32). Texts are encoded by the model's
// tokenizer, with the special tokens that it adds, such as BOS. Nothing is added to
// token ids: if a text should begin with BOS, the file must have it.
//
// Each text is cut into windows of -context tokens. Every token of a text but the first
// is predicted once, from the tokens before it in its window. The result is the mean of
// −log p over the predicted tokens in nats, and its exponential, the perplexity. It does
// not depend on -rows, which limits the tokens of one forward pass.
//
// With -json the result is one JSON object on a line, with the fields of type result.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"

	_ "github.com/aha-go/aha/backend/cpu"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/examples/internal/lab"
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model/tokenizer"
)

// options are the flags.
type options struct {
	Device, Model, Format string
	Type                  string // of the files; if "", their names decide
	Context, Rows         int
	JSON                  bool
	Files                 []string
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "device to run on: cpu or cuda:0")
	flag.StringVar(&o.Model, "model", "",
		"model folder, its .safetensors file with config.json in the same folder, or a .gguf file")
	flag.StringVar(&o.Format, "format", "f32", "format of the weights: f32, bf16, fp8, q8, q4 or q4_1")
	flag.StringVar(&o.Type, "type", "",
		"type of the files: text, jsonl, ids, uint16 or uint32 (default: text for .txt, jsonl for .jsonl)")
	flag.IntVar(&o.Context, "context", 0,
		"tokens of a window (default: max_position_embeddings of the model, at most 4096)")
	flag.IntVar(&o.Rows, "rows", 4096,
		"maximum tokens of one forward pass, unless a window has more; it does not change the result")
	flag.BoolVar(&o.JSON, "json", false, "print the result as a JSON object")
	flag.Parse()
	o.Files = flag.Args()

	lab.Main("eval", "no result was computed", func(ctx context.Context) error { return start(ctx, o) })
}

func start(ctx context.Context, o options) error {
	format, err := lab.Format(o.Format)
	if err != nil {
		return err
	}
	if len(o.Files) == 0 {
		return errors.New("no files: name them after the flags")
	}
	if o.Rows < 1 {
		return fmt.Errorf("-rows %d, want at least 1", o.Rows)
	}
	c, dir, err := lab.ReadConfig(o.Model)
	if err != nil {
		return err
	}
	if o.Context == 0 {
		o.Context = min(c.MaxPositionEmbeddings, 4096)
	}
	if o.Context < 1 || o.Context > c.MaxPositionEmbeddings {
		return fmt.Errorf("-context %d, want 1 to max_position_embeddings, %d", o.Context, c.MaxPositionEmbeddings)
	}
	texts, err := readTexts(o.Files, o.Type, c.VocabSize, tokens(cmp.Or(dir, o.Model)))
	if err != nil {
		return err
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
	shown, end := progress.Watch("evaluating", "tokens")
	defer end()
	r, err := evaluate(ctx, m, texts, o, shown)
	if err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Println(r)
	return nil
}

// tokens returns the encoder of the model at path. It loads the tokenizer at the first call.
func tokens(path string) encoder {
	load := sync.OnceValues(func() (*tokenizer.Tokenizer, error) { return tokenizer.Load(path) })
	return func(text string) ([]int32, error) {
		t, err := load()
		if err != nil {
			return nil, fmt.Errorf("text needs the model's tokenizer (token ids do not): %w", err)
		}
		return t.Encode(text)
	}
}
