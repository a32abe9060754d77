// Command generate completes a text, answers a message or holds a chat. The model is a folder
// or a safetensors file with a config.json, as published on Hugging Face, or a GGUF file.
//
//	go run ./examples/generate -model SmolLM2-135M-Instruct.gguf                     # a chat
//	go run ./examples/generate -model Qwen3-0.6B -prompt 'What is MoE?' -think=false -format q8
//	go run ./examples/generate -model DeepSeek-V2-Lite -prompt-file story.txt -raw -temperature 0.6 -top-p 0.95
//	go run ./examples/generate -model out/r1zero/model -prompt '19 29 16:32'         # the model of r1zero
//	go run ./examples/generate -model DeepSeek-V2-Lite -prompt-ids 100000,549,6077 -max-tokens 32 -ids
//
// The tokenizer is tokenizer.json in the model's folder. The chat template is
// chat_template.jinja, or chat_template in tokenizer_config.json. GGUF files contain both.
// With a chat template the prompt is a message that the model answers. With -raw, or if the
// model has no template, the prompt is the beginning of a text that the model completes.
// -system sets the system message, for a single prompt and for a chat.
// -tokenize prints the prompt's token ids on one line and exits.
//
// Without a prompt each line of standard input is a message of a chat. The model sees the
// history without its own thinking. The KV cache is kept from turn to turn, so the model
// reads only the new tokens; the result is the same as if it read all of them. Ctrl-C
// (SIGINT) stops an answer; between answers it ends the chat, as the end of input does. If
// the model has no chat template, each line is completed separately.
//
// The text is written to standard output as it is generated; on a terminal, thinking is
// dimmed. If the prompt is token ids, token ids are printed, one per line as they are
// generated. With -ids all of them are printed on one line at the end. The number of tokens
// and the speed are printed to standard error.
//
// Generation ends after -max-tokens tokens, at the token that ends an answer, or at an
// eos_token_id of generation_config.json or, without that, of config.json. The token that
// ends it is among the printed token ids.
//
// -format sets the format of the weights; activations and the KV cache are F32. With fp8
// embedding and head are bf16, and with q4_1 they are q8.
//
// -logprobs writes a line {"id":…,"logprob":…} for each new token: its log-probability in
// nats at temperature 1, without top-p, whatever it was sampled with.
package main

import (
	"cmp"
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
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer/chat"
	"golang.org/x/term"
)

// options are the flags.
type options struct {
	Device, Model, Format string
	PromptIDs             string
	Prompt, PromptFile    string
	Raw, Tokenize         bool
	Think                 chat.Thinking
	System                string
	MaxTokens             int
	Temperature, TopP     float64
	Seed                  uint64
	IDs                   bool
	LogProbs              string // file to write log-probabilities to; if "", none is written
}

func main() {
	var o options
	flag.StringVar(&o.Device, "device", "cpu", "device to run on: cpu or cuda:0")
	flag.StringVar(&o.Model, "model", "", "model folder, its .safetensors file, or a .gguf file")
	flag.StringVar(&o.Format, "format", "f32", "format of the weights: f32, bf16, fp8, q8, q4 or q4_1")
	flag.StringVar(&o.PromptIDs, "prompt-ids", "", "token ids of the prompt, separated by commas or spaces")
	flag.StringVar(&o.Prompt, "prompt", "", "message that the model answers, or text that it completes with -raw")
	flag.StringVar(&o.PromptFile, "prompt-file", "",
		"file that holds the prompt, or - for standard input; without -raw a line break at its end is removed")
	flag.BoolVar(&o.Raw, "raw", false, "complete the prompt without the model's chat template")
	flag.BoolVar(&o.Tokenize, "tokenize", false, "print the token ids of the prompt and exit")
	flag.BoolFunc("think", "turn thinking on, or off with -think=false (default: the default of the chat template)",
		func(text string) error {
			on, err := strconv.ParseBool(text)
			if o.Think = chat.Off; on {
				o.Think = chat.On
			}
			return err
		})
	flag.StringVar(&o.System, "system", "", "system message (default: that of the chat template)")
	flag.IntVar(&o.MaxTokens, "max-tokens", 0, "maximum number of new tokens, the end-of-text token included (default: "+
		"1024, or 64 for a prompt of token ids, or as many as the context has room for)")
	flag.Float64Var(&o.Temperature, "temperature", 0, "sampling temperature; 0 means greedy decoding")
	flag.Float64Var(&o.TopP, "top-p", 1, "nucleus sampling: sample from the most likely tokens that have this probability")
	flag.Uint64Var(&o.Seed, "seed", 1, "seed of the sampling")
	flag.BoolVar(&o.IDs, "ids", false, "print only the new token ids, on one line")
	flag.StringVar(&o.LogProbs, "logprobs", "", "file for the new token ids and their log-probabilities, as JSON lines")
	flag.Parse()

	lab.Main("generate", "the output is incomplete", func(ctx context.Context) error {
		if flag.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", flag.Arg(0))
		}
		if err := emptyPrompt(); err != nil {
			return err
		}
		return start(ctx, o)
	})
}

// emptyPrompt returns an error if a flag for the prompt is set to an empty string, for example by an unset shell
// variable: it would start a chat.
func emptyPrompt() (err error) {
	flag.Visit(func(f *flag.Flag) {
		if strings.HasPrefix(f.Name, "prompt") && f.Value.String() == "" {
			err = fmt.Errorf("-%s is empty: leave it out for a chat", f.Name)
		}
	})
	return err
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
	var l *language
	if o.PromptIDs == "" {
		if l, err = readLanguage(cmp.Or(dir, o.Model), o); err != nil {
			return err
		}
	}
	if o.Prompt != "" || o.PromptFile != "" {
		text, err := o.prompt()
		if err != nil {
			return err
		}
		if request.Prompt, err = l.encode([]chat.Message{{Role: chat.User, Content: text}}); err != nil {
			return fmt.Errorf("prompt: %w", err)
		}
		if o.Tokenize {
			fmt.Println(spaced(request.Prompt))
			return nil
		}
	}
	usual := 64
	if l != nil {
		usual = 1024
	}
	if o.chats() {
		request.MaxTokens = cmp.Or(request.MaxTokens, usual)
	} else if err := fits(&request, c, usual); err != nil {
		return err
	}
	if request.Stop, err = stop(dir, c); err != nil {
		return err
	}
	if l != nil {
		request.Stop = l.stop(request.Stop)
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
	return run(ctx, m, l, request, o)
}

// run completes the request r, or holds a chat.
func run(ctx context.Context, m *model.Model, l *language, r model.Request, o options) error {
	size := model.GeneratorOptions{Slots: 1, Reuse: true}
	if !o.chats() {
		size.MaxLen = len(r.Prompt) + r.MaxTokens
	}
	g, err := model.NewGenerator(m, size)
	if err != nil {
		return err
	}
	defer g.Close()
	shown := term.IsTerminal(int(os.Stdout.Fd()))
	var ids []int32
	var figures string
	switch {
	case o.chats():
		c := conversation{language: l, g: g, request: r, out: os.Stdout, errs: os.Stderr, dim: shown,
			interrupts: lab.Interrupts()}
		if term.IsTerminal(int(os.Stdin.Fd())) {
			c.sign = "> "
		}
		return c.run(ctx, os.Stdin)
	case l == nil || o.IDs:
		ids, figures, err = printIDs(ctx, g, r, o.IDs)
	default:
		ids, figures, err = printText(ctx, g, r, l.writer(os.Stdout, r.Prompt, r.Stop, shown))
	}
	if err != nil {
		return err
	}
	if o.LogProbs != "" {
		if err := writeLogProbs(m, r.Prompt, ids, o.LogProbs); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, figures)
	return nil
}

// chats reports whether to hold a chat, which is the case if there is no prompt.
func (o options) chats() bool { return o.PromptIDs == "" && o.Prompt == "" && o.PromptFile == "" }

// request returns the request that the flags describe and the format of the weights.
func (o options) request() (r model.Request, f backend.Format, err error) {
	if err := o.one(); err != nil {
		return r, f, err
	}
	for _, text := range strings.FieldsFunc(o.PromptIDs, func(r rune) bool { return r == ',' || r == ' ' }) {
		id, err := strconv.ParseInt(text, 10, 32)
		if err != nil || id < 0 {
			return r, f, fmt.Errorf("-prompt-ids: %q is not a token id", text)
		}
		r.Prompt = append(r.Prompt, int32(id))
	}
	r.MaxTokens, r.Seed = o.MaxTokens, o.Seed
	r.Sampling = model.Sampling{Greedy: o.Temperature == 0, Temperature: o.Temperature, TopP: o.TopP}
	switch {
	case o.MaxTokens < 0:
		return r, f, fmt.Errorf("-max-tokens %d, want a positive number", o.MaxTokens)
	case o.Temperature != 0 && !(o.Temperature >= model.MinTemperature && o.Temperature <= math.MaxFloat64):
		return r, f, fmt.Errorf("-temperature %g, want 0 or at least %g", o.Temperature, model.MinTemperature)
	case !(o.TopP > 0 && o.TopP <= 1):
		return r, f, fmt.Errorf("-top-p %g, want more than 0 and at most 1", o.TopP)
	}
	if o.LogProbs != "" { // find out before generating
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

// one returns an error if flags exclude each other.
func (o options) one() error {
	var prompts []string
	for _, p := range []struct{ name, value string }{
		{"-prompt", o.Prompt}, {"-prompt-file", o.PromptFile}, {"-prompt-ids", o.PromptIDs},
	} {
		if p.value != "" {
			prompts = append(prompts, p.name)
		}
	}
	switch {
	case len(prompts) > 1:
		return fmt.Errorf("%s: want one of them", strings.Join(prompts, " and "))
	case o.PromptIDs != "" && (o.Raw || o.Tokenize || o.Think != chat.Default || o.System != ""):
		return errors.New("-raw, -tokenize, -think and -system are for text: want -prompt or -prompt-file instead of " +
			"-prompt-ids")
	case o.chats() && (o.Tokenize || o.IDs || o.LogProbs != ""):
		return errors.New("-tokenize, -ids and -logprobs need -prompt, -prompt-file or -prompt-ids")
	}
	return nil
}
