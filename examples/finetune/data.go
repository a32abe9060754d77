package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aha-go/aha/examples/internal/tune"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/tokenizer/chat"
)

// dataset holds the conversations of the data file.
type dataset struct {
	train, held []model.Sequence
	long        int    // number of conversations left out because they are too long
	sum         string // SHA-256 of the file
}

// line is a line of the file.
type line struct {
	IDs      []int32           `json:"ids"`
	Weight   []float32         `json:"weight"`
	Messages []chat.Message    `json:"messages"`
	Tools    []json.RawMessage `json:"tools"`
	Question *string           `json:"question"`
	Answer   *string           `json:"answer"`
}

// encoder is the type of the method tune.Encoder.Chat.
type encoder func(messages []chat.Message, o chat.Options) (ids []int32, weight []float32, err error)

// readData reads the conversations of a file and leaves out those longer than longest tokens.
// The tokenizer of the model at path encodes them. Errors name the file and the line.
func readData(file, path string, vocab, longest int) (d *dataset, err error) {
	d = &dataset{}
	var encode encoder
	d.sum, err = tune.Lines(file, func(row []byte) error {
		q, err := parse(row, path, &encode)
		if err == nil {
			err = check(q, vocab)
		}
		switch {
		case err != nil:
			return err
		case q.Rows() > longest:
			d.long++
		default:
			d.train = append(d.train, q)
		}
		return nil
	})
	return d, err
}

// parse turns a line into a sequence. If it needs *encode and that is nil, parse sets it to the
// encoder of the model at path.
func parse(row []byte, path string, encode *encoder) (q model.Sequence, err error) {
	var l line
	if err := json.Unmarshal(row, &l); err != nil {
		return q, err
	}
	if l.Question != nil && l.Answer != nil && l.Messages == nil {
		l.Messages = []chat.Message{{Role: chat.User, Content: *l.Question}, {Role: chat.Assistant, Content: *l.Answer}}
	}
	ids, weight := l.IDs, l.Weight
	switch {
	case (ids == nil) == (l.Messages == nil):
		return q, errors.New("want ids, messages, or question and answer")
	case l.Messages != nil:
		if *encode == nil {
			e, err := tune.NewEncoder(path)
			if err != nil {
				return q, err
			}
			*encode = e.Chat
		}
		if ids, weight, err = (*encode)(l.Messages, chat.Options{Tools: l.Tools}); err != nil {
			return q, err
		}
	}
	if weight != nil && len(weight) != len(ids) {
		return q, fmt.Errorf("%d weights for %d ids", len(weight), len(ids))
	}
	q.IDs = ids
	if len(weight) > 0 {
		q.Weight = weight[1:] // the first token is not predicted
	}
	return q, nil
}

// check returns an error if a sequence cannot be trained on.
func check(q model.Sequence, vocab int) error {
	if len(q.IDs) < 2 {
		return fmt.Errorf("%d tokens, want at least 2", len(q.IDs))
	}
	for i, id := range q.IDs {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token %d is %d, beyond the vocabulary of %d", i, id, vocab)
		}
	}
	for i, w := range q.Weight {
		if !(w >= 0 && w <= 1) {
			return fmt.Errorf("weight %d is %g, want 0 to 1", i+1, w)
		}
	}
	if !(model.Totals([]model.Sequence{q}).Weight > 0) {
		return errors.New("no token after the first has a weight above 0")
	}
	return nil
}

// split holds out a fraction of the conversations, at least one, which seed chooses.
func (d *dataset) split(part float64, seed uint64) error {
	if n := len(d.train); n < 2 {
		return fmt.Errorf("%d conversations to train on (%d are too long), want at least 2", n, d.long)
	}
	d.train, d.held = tune.Split(d.train, part, seed)
	return nil
}
