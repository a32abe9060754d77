package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// language is how a model reads and writes text.
type language struct {
	tokens   *tokenizer.Tokenizer
	template chat.Template // "" means that it completes a text as it is
	options  chat.Options
	system   string // "" means that of the template
}

// readLanguage reads the tokenizer and, unless o says raw, the template of the model at path.
func readLanguage(path string, o options) (*language, error) {
	l := &language{options: chat.Options{Generate: true, Thinking: o.Think}, system: o.System}
	var err error
	if l.tokens, err = tokenizer.Load(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("-model: text needs a %s: %w", tokenizer.FileName, err)
		}
		return nil, fmt.Errorf("%w; -prompt-ids takes token ids", err)
	}
	if !o.Raw {
		l.template, err = chat.Load(path)
	}
	switch {
	case errors.Is(err, chat.ErrUnsupported):
		return nil, fmt.Errorf("%w; -raw completes the text as it is, -prompt-ids takes token ids", err)
	case err != nil && !errors.Is(err, chat.ErrNone):
		return nil, err
	case l.template == "" && (o.Think != chat.Default || o.System != ""):
		return nil, errors.New("-think and -system need a model with a chat template, and not -raw")
	case l.template != "":
		if _, ok := l.tokens.ID(l.template.End()); !ok {
			return nil, fmt.Errorf("%s: the tokenizer has no %s, which ends answers of the template %s; -raw completes the "+
				"text as it is", path, l.template.End(), l.template)
		}
	}
	return l, nil
}

// stop adds the token that ends an answer to stop.
func (l *language) stop(stop []int32) []int32 {
	if l.template != "" {
		if id, ok := l.tokens.ID(l.template.End()); ok && !slices.Contains(stop, id) {
			return append(stop, id)
		}
	}
	return stop
}

// encode returns the ids of a prompt for an answer to messages. Without a template it is the
// last of them.
func (l *language) encode(messages []chat.Message) ([]int32, error) {
	if l.template == "" {
		return l.tokens.Encode(messages[len(messages)-1].Content)
	}
	if l.system != "" {
		messages = append([]chat.Message{{Role: chat.System, Content: l.system}}, messages...)
	}
	text, err := l.template.Render(messages, l.options)
	if err != nil {
		return nil, err
	}
	return l.tokens.Append(nil, text)
}

// prompt is the text of -prompt or -prompt-file.
func (o options) prompt() (string, error) {
	if o.Prompt != "" {
		return o.Prompt, nil
	}
	var text []byte
	var err error
	if o.PromptFile == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(o.PromptFile)
	}
	if err != nil {
		return "", fmt.Errorf("-prompt-file: %w", err)
	}
	if o.Raw {
		return string(text), nil
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// writer writes the text of an answer as its ids come.
type writer struct {
	out     io.Writer
	decoder *tokenizer.Decoder
	stop    []int32
	dim     *dimmer // nil means that thoughts are written as the rest is
	failed  error   // of out
	text    strings.Builder
}

// writer makes one for an answer to prompt.
func (l *language) writer(out io.Writer, prompt, stop []int32, dim bool) *writer {
	w := &writer{out: out, decoder: l.tokens.NewDecoder(true), stop: stop}
	if dim {
		last := l.tokens.Decode(prompt[max(0, len(prompt)-8):])
		w.dim = &dimmer{thinking: strings.HasSuffix(strings.TrimSpace(last), thinkOpen)}
	}
	return w
}

// next writes the text that id completes. That of a stop token is left out.
func (w *writer) next(id int32) {
	if !slices.Contains(w.stop, id) {
		w.write(w.decoder.Next(id))
	}
}

func (w *writer) write(text string) {
	w.text.WriteString(text)
	if w.dim != nil {
		text = w.dim.next(text)
	}
	w.print(text)
}

func (w *writer) print(text string) {
	_, err := io.WriteString(w.out, text)
	w.failed = cmp.Or(w.failed, err)
}

// end writes what is left, and a line break.
func (w *writer) end() error {
	w.write(w.decoder.Rest())
	if w.dim != nil {
		w.print(w.dim.end())
	}
	w.print("\n")
	return w.failed
}

// Tags around a thought.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>"
)

// dimmer makes thoughts dim on a terminal.
type dimmer struct {
	thinking bool
	begun    bool   // whether the terminal was told so
	held     string // the beginning of a tag
}

const (
	dim   = "\x1b[2m"
	plain = "\x1b[0m"
)

// next is what to write for text. The beginning of a tag at its end is held back.
func (d *dimmer) next(text string) string {
	var w strings.Builder
	text, d.held = d.held+text, ""
	for text != "" {
		tag := thinkOpen
		if d.thinking {
			tag = thinkClose
			if !d.begun {
				d.begun = true
				w.WriteString(dim)
			}
		}
		before, after, found := strings.Cut(text, tag)
		switch {
		case !found:
			n := partial(text, tag)
			d.held = text[len(text)-n:]
			w.WriteString(text[:len(text)-n])
			return w.String()
		case d.thinking:
			w.WriteString(before + tag + plain)
		default:
			w.WriteString(before + dim + tag)
		}
		d.thinking = !d.thinking
		d.begun = d.thinking
		text = after
	}
	return w.String()
}

// end is what to write at the end.
func (d *dimmer) end() string {
	if d.begun {
		return d.held + plain
	}
	return d.held
}

// partial is the length of the longest end of text that tag begins with.
func partial(text, tag string) int {
	for n := min(len(text), len(tag)-1); n > 0; n-- {
		if strings.HasSuffix(text, tag[:n]) {
			return n
		}
	}
	return 0
}
