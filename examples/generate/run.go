package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// fits reports what of r a model of c cannot do, and sets MaxTokens if it is 0.
func fits(r *model.Request, c model.Config) error {
	for i, id := range r.Prompt {
		if int(id) >= c.VocabSize {
			return fmt.Errorf("-prompt-ids: id %d at index %d is beyond the vocabulary of %d", id, i, c.VocabSize)
		}
	}
	limit, n := c.MaxPositionEmbeddings, len(r.Prompt)
	if n >= limit {
		return fmt.Errorf("-prompt-ids: %d ids fill the context of %d tokens", n, limit)
	}
	if r.MaxTokens == 0 {
		r.MaxTokens = min(64, limit-n)
	}
	if r.MaxTokens > limit-n {
		return fmt.Errorf("-max-tokens %d: after a prompt of %d the context of %d tokens has room for %d", r.MaxTokens, n,
			limit, limit-n)
	}
	return nil
}

// stop is the eos_token_id of generation_config.json in dir, or else that of c. If dir is
// "", there is no such file.
func stop(dir string, c model.Config) ([]int32, error) {
	const file = "generation_config.json"
	ids, path := c.EOSTokenID, filepath.Join(dir, file)
	if dir != "" {
		given, err := eosOf(dir, file)
		if err != nil {
			return nil, err
		}
		if len(given) > 0 {
			ids = given
		}
	}
	list := []int32{}
	for _, id := range ids {
		if id < 0 || id >= c.VocabSize {
			return nil, fmt.Errorf("%s: eos_token_id %d is beyond the vocabulary of %d", path, id, c.VocabSize)
		}
		list = append(list, int32(id))
	}
	return list, nil
}

// eosOf is the eos_token_id of the generation_config.json in dir, nil if there is no
// such file.
func eosOf(dir, file string) (model.TokenIDs, error) {
	text, err := checkpoint.ReadFile(dir, file, checkpoint.OpenOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var g struct {
		EOSTokenID model.TokenIDs `json:"eos_token_id"`
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, file), err)
	}
	return g.EOSTokenID, nil
}

// run completes r, prints the new ids to out, calls drawn for each, and returns a
// line of figures.
func run(ctx context.Context, m *model.Model, r model.Request, o options, out io.Writer, drawn func()) (string, error) {
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 1, MaxLen: len(r.Prompt) + r.MaxTokens})
	if err != nil {
		return "", err
	}
	defer g.Close()
	began := time.Now()
	var first time.Duration // the time of the prompt and of the first id
	var failed error
	r.OnToken = func(id int32) {
		if first == 0 {
			first = time.Since(began)
		}
		if !o.IDs {
			_, err := fmt.Fprintln(out, id)
			failed = errors.Join(failed, err)
		}
		drawn()
	}
	done, err := g.Generate(ctx, []model.Request{r})
	if err = errors.Join(err, failed); err != nil {
		return "", err
	}
	rest := time.Since(began) - first
	ids := done[0].Tokens
	if o.IDs {
		if _, err := fmt.Fprintln(out, strings.Trim(fmt.Sprint(ids), "[]")); err != nil {
			return "", err
		}
	}
	if o.LogProbs != "" {
		if err := writeLogProbs(m, r.Prompt, ids, o.LogProbs); err != nil {
			return "", err
		}
	}
	text := fmt.Sprintf("%s: %d prompt tokens in %.2f s", done[0].Finish, len(r.Prompt), first.Seconds())
	if n := len(ids) - 1; n > 0 {
		text += fmt.Sprintf(", then %.1f tokens/s", float64(n)/rest.Seconds())
	}
	return fmt.Sprintf("%s, %d new tokens", text, len(ids)), nil
}

// scored is a line of the file of log-probabilities.
type scored struct {
	ID      int32   `json:"id"`
	LogProb float64 `json:"logprob"`
}

// writeLogProbs scores ids after prompt at temperature 1 and writes them to path.
func writeLogProbs(m *model.Model, prompt, ids []int32, path string) error {
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	seqs := []model.Sequence{{IDs: append(append([]int32{}, prompt...), ids...)}}
	b := m.NewBatch(s, seqs, model.Totals(seqs))
	values, err := m.Forward(s, b).LogProbs(b.Targets).Values()
	if err != nil {
		return err
	}
	return checkpoint.WriteAtomic(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		for i, id := range ids {
			if err := e.Encode(scored{id, values[len(prompt)-1+i]}); err != nil {
				return err
			}
		}
		return nil
	})
}
