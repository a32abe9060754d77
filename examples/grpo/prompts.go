package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
	"github.com/aha-go/aha/rl/rollout"
)

// templates lists the values of the key template.
var templates = []string{"r1-zero", "tinyzero", "plain", "chat", "none"}

// texts has the templates other than chat: the text before a problem, the text after it, and
// the beginning of the answer, which reward functions see before the completion.
var texts = map[string]struct{ before, after, prefill string }{
	// arXiv 2501.12948, table 1.
	"r1-zero": {before: "A conversation between User and Assistant. " +
		"The user asks a question, and the Assistant solves it. " +
		"The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. " +
		"The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, " +
		"i.e., <think> reasoning process here </think> <answer> answer here </answer>. User: ",
		after: ". Assistant:"},
	"tinyzero": {before: "A conversation between User and Assistant. " +
		"The user asks a question, and the Assistant solves it. " +
		"The assistant first thinks about the reasoning process in the mind and then provides the user with the answer.\n" +
		"User: ",
		after: " Show your work in <think> </think> tags. And return the final answer in <answer> </answer> tags, for " +
			"example <answer> (1 + 2) / 3 </answer>.\nAssistant:",
		prefill: " Let me solve this step by step.\n<think>"},
	"plain": {before: "Question:\n", after: "\nAnswer:\n", prefill: "Let's think step by step.\n"},
	"none":  {},
}

// line is a line of the file of problems.
type line struct {
	Prompt   json.RawMessage `json:"prompt"` // text or messages
	Question *string         `json:"question"`
	Answer   json.RawMessage `json:"answer"`
	Source   string          `json:"source"`
}

// problems holds the problems of the data file.
type problems struct {
	train, held []rollout.Prompt
	long        int    // number of problems left out because they are too long
	longest     int    // tokens of the longest prompt
	sum         string // SHA-256 of the file
}

// writer turns problems into prompts.
type writer struct {
	*config
	tokens *tokenizer.Tokenizer
	chat   chat.Template
	vocab  int
}

// newWriter loads the tokenizer of the model at path and, for template chat, its chat template.
func newWriter(c *config, path string, vocab int) (w *writer, err error) {
	w = &writer{config: c, vocab: vocab}
	if w.tokens, err = tokenizer.Load(path); err != nil {
		return nil, fmt.Errorf("problems need the model's tokenizer: %w", err)
	}
	if c.Template == "chat" {
		if w.chat, err = chat.Load(path); err != nil {
			return nil, fmt.Errorf("template chat needs the model's chat template (other templates do not): %w", err)
		}
	}
	return w, nil
}

// stop returns the tokens that end a completion: ends, which the config has, and the
// end-of-answer token of the chat template.
func (w *writer) stop(ends []int) (ids []int32) {
	for _, id := range ends {
		ids = append(ids, int32(id))
	}
	if w.chat != "" {
		if id, ok := w.tokens.ID(w.chat.End()); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// read reads the problems of a file and leaves out prompts longer than longest tokens.
func (w *writer) read(file string, longest int) (p *problems, err error) {
	p = &problems{}
	p.sum, err = tune.Lines(file, func(row []byte) error {
		var l line
		if err := json.Unmarshal(row, &l); err != nil {
			return err
		}
		x, err := w.prompt(l)
		if err != nil {
			return err
		}
		if len(x.IDs) > longest {
			p.long++
			return nil
		}
		p.longest = max(p.longest, len(x.IDs))
		p.train = append(p.train, x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if n := len(p.train); n < 2 {
		return nil, fmt.Errorf("%s: %d problems to train on (%d are longer than %d tokens), want at least 2", file, n, p.long,
			longest)
	}
	p.train, p.held = tune.Split(p.train, w.Held, w.Seed)
	return p, nil
}

// prompt turns a line into a prompt.
func (w *writer) prompt(l line) (p rollout.Prompt, err error) {
	var problem string
	var messages []chat.Message
	switch {
	case (l.Prompt == nil) == (l.Question == nil):
		return p, errors.New(`want "prompt" or "question", and "answer"`)
	case l.Question != nil:
		problem = *l.Question
	case json.Unmarshal(l.Prompt, &problem) == nil:
	case json.Unmarshal(l.Prompt, &messages) != nil || len(messages) == 0:
		return p, errors.New(`"prompt" is neither a text nor messages`)
	case w.Template != "chat":
		return p, fmt.Errorf(`"prompt" is a list of messages, which template %s does not support`, w.Template)
	}
	if string(l.Answer) == "null" {
		l.Answer = nil
	}
	golds, err := w.Rewards.golds(l.Answer)
	if err != nil {
		return p, err
	}
	p = rollout.Prompt{Answer: golds, Source: l.Source}
	if w.Template == "chat" {
		if messages == nil {
			messages = []chat.Message{{Role: chat.User, Content: problem}}
		}
		if w.System != "" {
			messages = append([]chat.Message{{Role: chat.System, Content: w.System}}, messages...)
		}
		if p.Text, err = w.chat.Render(messages, chat.Options{Generate: true}); err != nil {
			return p, err
		}
		if at := strings.LastIndex(p.Text, "<think>"); at >= 0 && strings.TrimSpace(p.Text[at:]) == "<think>" {
			p.Prefill = p.Text[at:]
		}
		p.IDs, err = w.tokens.Append(nil, p.Text)
	} else {
		t := texts[w.Template]
		p.Text, p.Prefill = t.before+problem+t.after+t.prefill, t.prefill
		p.IDs, err = w.tokens.Encode(p.Text)
	}
	if err != nil {
		return p, err
	}
	if len(p.IDs) == 0 {
		return p, errors.New("the prompt has no tokens")
	}
	for i, id := range p.IDs {
		if int(id) >= w.vocab {
			return p, fmt.Errorf("token %d of the prompt is %d, beyond the vocabulary of %d", i, id, w.vocab)
		}
	}
	return p, nil
}
