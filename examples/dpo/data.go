package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer"
	"github.com/aha-go/aha/model/tokenizer/chat"
	"github.com/aha-go/aha/rl"
)

// dataset holds the preference pairs of the data file.
type dataset struct {
	train, held []rl.Pair
	long        int    // number of pairs left out because they are too long
	equal       int    // number of pairs left out because both completions are the same
	sum         string // SHA-256 of the file
}

// line is a line of the file. Prompt, Chosen and Rejected have the same type: texts, token
// ids or lists of messages.
type line struct {
	Prompt   json.RawMessage   `json:"prompt"`
	Chosen   json.RawMessage   `json:"chosen"`
	Rejected json.RawMessage   `json:"rejected"`
	Tools    []json.RawMessage `json:"tools"`
	Weight   *float64          `json:"weight"`
}

// language encodes texts and chats for the model at path. It loads the tokenizer and the
// chat template at first use.
type language struct {
	path    string
	end     int32 // token that ends a text; negative if there is none
	encoder *tune.Encoder
	tokens  *tokenizer.Tokenizer
}

// readData reads the pairs of a file and leaves out those longer than longest tokens. c is
// the model's config and path the place of its tokenizer. Errors name the file and the line.
func readData(file, path string, c model.Config, longest int) (d *dataset, err error) {
	d = &dataset{}
	l := &language{path: path, end: -1}
	if len(c.EOSTokenID) > 0 {
		l.end = int32(c.EOSTokenID[0])
	}
	d.sum, err = tune.Lines(file, func(row []byte) error {
		p, err := l.parse(row)
		if err == nil {
			err = check(p, c.VocabSize)
		}
		if err != nil {
			return err
		}
		if slices.Equal(p.Chosen, p.Rejected) {
			d.equal++
			return nil
		}
		if len(p.Prompt)+max(len(p.Chosen), len(p.Rejected))-1 > longest {
			d.long++
			return nil
		}
		d.train = append(d.train, p)
		return nil
	})
	return d, err
}

// parse turns a line into a pair.
func (l *language) parse(row []byte) (p rl.Pair, err error) {
	var x line
	if err := json.Unmarshal(row, &x); err != nil {
		return p, err
	}
	if x.Chosen == nil || x.Rejected == nil {
		return p, errors.New("want prompt, chosen and rejected: messages, texts or token ids")
	}
	var ids [3][]int32
	var texts [3]string
	switch {
	case all(x, &ids):
		p.Prompt, p.Chosen, p.Rejected = ids[0], ids[1], ids[2]
	case all(x, &texts):
		p, err = l.texts(texts)
	default:
		p, err = l.chats(x)
	}
	if err == nil && x.Weight != nil {
		if p.Weight = *x.Weight; !(p.Weight > 0) {
			err = fmt.Errorf("weight is %g, want more than 0", p.Weight)
		}
	}
	return p, err
}

// all decodes prompt, chosen and rejected, and reports whether all three have that type.
func all[T any](x line, parts *[3]T) bool {
	for i, text := range []json.RawMessage{x.Prompt, x.Chosen, x.Rejected} {
		if text == nil || json.Unmarshal(text, &parts[i]) != nil {
			return false
		}
	}
	return true
}

// texts encodes a prompt and two completions without a chat template. It appends the
// end-of-text token to completions that lack it.
func (l *language) texts(parts [3]string) (p rl.Pair, err error) {
	if l.tokens == nil {
		if l.tokens, err = tokenizer.Load(l.path); err != nil {
			return p, fmt.Errorf("texts need the model's tokenizer (token ids do not): %w", err)
		}
		if id, ok := l.tokens.Role(tokenizer.EOS); ok {
			l.end = id
		}
	}
	if l.end < 0 {
		return p, errors.New("the model has no end-of-text token: give token ids instead of texts")
	}
	if p.Prompt, err = l.tokens.Encode(parts[0]); err != nil {
		return p, fmt.Errorf("prompt: %w", err)
	}
	// Completions are encoded separately, as they are generated: no token spans the end of the
	// prompt and the beginning of the completion.
	complete := func(text string) ([]int32, error) {
		ids, err := l.tokens.Append(nil, text)
		if n := len(ids); err == nil && (n == 0 || ids[n-1] != l.end) {
			ids = append(ids, l.end)
		}
		return ids, err
	}
	if p.Chosen, err = complete(parts[1]); err != nil {
		return p, fmt.Errorf("chosen: %w", err)
	}
	if p.Rejected, err = complete(parts[2]); err != nil {
		return p, fmt.Errorf("rejected: %w", err)
	}
	return p, nil
}

// chats encodes messages. If the line has no prompt, the prompt is the messages that both
// conversations begin with.
func (l *language) chats(x line) (p rl.Pair, err error) {
	var prompt, chosen, rejected []chat.Message
	for _, part := range []struct {
		name string
		text json.RawMessage
		into *[]chat.Message
	}{{"prompt", x.Prompt, &prompt}, {"chosen", x.Chosen, &chosen}, {"rejected", x.Rejected, &rejected}} {
		if part.text == nil {
			continue
		}
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return p, fmt.Errorf("%s: want messages, or prompt, chosen and rejected as texts or as ids: %w", part.name, err)
		}
	}
	if x.Prompt == nil {
		n := 0
		for n < min(len(chosen), len(rejected)) && reflect.DeepEqual(chosen[n], rejected[n]) {
			n++
		}
		// Equal conversations keep their last message as the completion; readData then leaves
		// out the pair because its completions are equal.
		if n > 0 && n == len(chosen) && n == len(rejected) {
			n--
		}
		prompt, chosen, rejected = chosen[:n], chosen[n:], rejected[n:]
	}
	if len(prompt) == 0 {
		return p, errors.New("there is no prompt, and the conversations have no messages at the beginning in common")
	}
	if l.encoder == nil {
		if l.encoder, err = tune.NewEncoder(l.path); err != nil {
			return p, err
		}
	}
	o := chat.Options{Tools: x.Tools}
	var again []int32
	if p.Prompt, p.Chosen, err = l.encoder.Completion(prompt, chosen, o); err != nil {
		return p, fmt.Errorf("chosen: %w", err)
	}
	if again, p.Rejected, err = l.encoder.Completion(prompt, rejected, o); err != nil {
		return p, fmt.Errorf("rejected: %w", err)
	}
	if !slices.Equal(p.Prompt, again) {
		return p, errors.New("the chat template renders the prompt differently before the two completions")
	}
	return p, nil
}

// check returns an error if a pair cannot be trained on.
func check(p rl.Pair, vocab int) error {
	for _, part := range []struct {
		name string
		ids  []int32
	}{{"prompt", p.Prompt}, {"chosen", p.Chosen}, {"rejected", p.Rejected}} {
		if len(part.ids) == 0 {
			return fmt.Errorf("%s has no tokens", part.name)
		}
		for i, id := range part.ids {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("%s: token %d is %d, beyond the vocabulary of %d", part.name, i, id, vocab)
			}
		}
	}
	return nil
}
