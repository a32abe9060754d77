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

// language encodes messages to token ids and decodes answers.
type language struct {
	tokens   *tokenizer.Tokenizer
	template chat.Template // if "", prompts are texts to complete
	options  chat.Options
	system   string // system message; if "", that of the template
}

// readLanguage loads the tokenizer and, unless o.Raw is set, the chat template of the model at
// path.
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
		return nil, fmt.Errorf("%w; -raw completes the text without a chat template, -prompt-ids takes token ids", err)
	case err != nil && !errors.Is(err, chat.ErrNone):
		return nil, err
	case l.template == "" && (o.Think != chat.Default || o.System != ""):
		return nil, errors.New("-think and -system need a model with a chat template, and not -raw")
	case l.template != "":
		if _, ok := l.tokens.ID(l.template.End()); !ok {
			return nil, fmt.Errorf("%s: the tokenizer has no %s, which ends answers of the template %s; -raw completes the "+
				"text without a chat template", path, l.template.End(), l.template)
		}
	}
	return l, nil
}

// stop returns stop with the token that ends an answer added.
func (l *language) stop(stop []int32) []int32 {
	if l.template != "" {
		if id, ok := l.tokens.ID(l.template.End()); ok && !slices.Contains(stop, id) {
			return append(stop, id)
		}
	}
	return stop
}

// encode returns the token ids of the prompt for an answer to messages. Without a chat
// template the prompt is the last message.
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

// prompt returns the text of -prompt or -prompt-file.
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

// writer decodes the ids of an answer one by one and writes the text.
type writer struct {
	out     io.Writer
	decoder *tokenizer.Decoder
	stop    []int32
	dim     *dimmer // if nil, thinking is not dimmed
	failed  error   // first error of out
	text    strings.Builder
}

// writer returns a writer for the answer to prompt.
func (l *language) writer(out io.Writer, prompt, stop []int32, dim bool) *writer {
	w := &writer{out: out, decoder: l.tokens.NewDecoder(true), stop: stop}
	if dim {
		last := l.tokens.Decode(prompt[max(0, len(prompt)-8):])
		w.dim = &dimmer{thinking: strings.HasSuffix(strings.TrimSpace(last), thinkOpen)}
	}
	return w
}

// next decodes id and writes the characters that it completes. Stop tokens are left out.
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

// end writes the text that is held back and a line break.
func (w *writer) end() error {
	w.write(w.decoder.Rest())
	if w.dim != nil {
		w.print(w.dim.end())
	}
	w.print("\n")
	return w.failed
}

// Tags around the thinking of an answer.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>"
)

// dimmer adds escape sequences that dim the thinking of an answer on a terminal.
type dimmer struct {
	thinking bool
	begun    bool   // the escape sequence dim has been written
	held     string // text held back because it may be the beginning of a tag
}

const (
	dim   = "\x1b[2m"
	plain = "\x1b[0m"
)

// next returns what to write for text. If text ends with what may be the beginning of a tag,
// that part is held back.
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

// end returns what to write at the end of the answer.
func (d *dimmer) end() string {
	if d.begun {
		return d.held + plain
	}
	return d.held
}

// partial returns the length of the longest suffix of text that is a proper prefix of tag.
func partial(text, tag string) int {
	for n := min(len(text), len(tag)-1); n > 0; n-- {
		if strings.HasSuffix(text, tag[:n]) {
			return n
		}
	}
	return 0
}
