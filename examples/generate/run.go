package main

import (
	"cmp"
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
	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/checkpoint"
)

// fits returns an error if a model with config c cannot serve r. If r.MaxTokens is 0, it sets
// it to usual or, if that is less, to the room that the context has.
func fits(r *model.Request, c model.Config, usual int) error {
	if err := within(r.Prompt, c); err != nil {
		return err
	}
	limit, n := c.MaxPositionEmbeddings, len(r.Prompt)
	switch {
	case n == 0:
		return errors.New("the prompt has no tokens")
	case n >= limit:
		return fmt.Errorf("prompt: %d tokens fill the context of %d tokens", n, limit)
	}
	if r.MaxTokens == 0 {
		r.MaxTokens = min(usual, limit-n)
	}
	if r.MaxTokens > limit-n {
		return fmt.Errorf("-max-tokens %d: after a prompt of %d the context of %d tokens has room for %d", r.MaxTokens, n,
			limit, limit-n)
	}
	return nil
}

// within returns an error if ids has an id beyond the vocabulary of c.
func within(ids []int32, c model.Config) error {
	for i, id := range ids {
		if int(id) >= c.VocabSize {
			return fmt.Errorf("prompt: id %d at index %d is beyond the vocabulary of %d", id, i, c.VocabSize)
		}
	}
	return nil
}

// stop returns the eos_token_id of generation_config.json in dir or, if there is none, that
// of c. If dir is "", there is no such file.
func stop(dir string, c model.Config) ([]int32, error) {
	const file = "generation_config.json"
	ids, where := c.EOSTokenID, "the model's config"
	if dir != "" {
		given, err := eosOf(dir, file)
		if err != nil {
			return nil, err
		}
		if len(given) > 0 {
			ids, where = given, filepath.Join(dir, file)
		}
	}
	list := []int32{}
	for _, id := range ids {
		if id < 0 || id >= c.VocabSize {
			return nil, fmt.Errorf("%s: eos_token_id %d is beyond the vocabulary of %d", where, id, c.VocabSize)
		}
		list = append(list, int32(id))
	}
	return list, nil
}

// eosOf returns the eos_token_id of the generation_config.json in dir, or nil if there is no
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

// complete generates the completion of r. It returns the new ids and a line of statistics, also
// with the error of a cancelled ctx.
func complete(ctx context.Context, g *model.Generator, r model.Request) (ids []int32, figures string, err error) {
	began := time.Now()
	var first time.Duration // time until the first token
	report := r.OnToken
	r.OnToken = func(id int32) {
		if ids = append(ids, id); len(ids) == 1 {
			first = time.Since(began)
		}
		report(id)
	}
	how, cached := "interrupted", ""
	done, err := g.Generate(ctx, []model.Request{r})
	if err == nil {
		how = done[0].Finish.String()
		if n := done[0].Reused; n > 0 {
			cached = fmt.Sprintf(", %d of them cached,", n)
		}
	}
	rest := time.Since(began) - first
	figures = fmt.Sprintf("%s: %d prompt tokens%s", how, len(r.Prompt), cached)
	if len(ids) > 0 {
		figures += fmt.Sprintf(" in %.2f s", first.Seconds())
	}
	if n := len(ids) - 1; n > 0 {
		figures += fmt.Sprintf(", then %.1f tokens/s", float64(n)/rest.Seconds())
	}
	return ids, fmt.Sprintf("%s, %d new tokens", figures, len(ids)), err
}

// printIDs completes r and prints the new ids: each as it is generated or, if atEnd, all on
// one line at the end.
func printIDs(ctx context.Context, g *model.Generator, r model.Request, atEnd bool) (
	ids []int32, figures string, err error,
) {
	bar := progress.New(r.MaxTokens, "generating", "tokens")
	defer bar.Close()
	var failed error
	r.OnToken = func(id int32) {
		if !atEnd {
			_, err := fmt.Fprintln(bar, id)
			failed = cmp.Or(failed, err)
		}
		bar.Add(1)
	}
	ids, figures, err = complete(ctx, g, r)
	if err = cmp.Or(err, failed); err == nil && atEnd {
		bar.Close()
		_, err = fmt.Println(spaced(ids))
	}
	return ids, figures, err
}

// printText completes r and writes its text to w as it is generated.
func printText(ctx context.Context, g *model.Generator, r model.Request, w *writer) (
	ids []int32, figures string, err error,
) {
	r.OnToken = w.next
	ids, figures, err = complete(ctx, g, r)
	return ids, figures, errors.Join(err, w.end())
}

// spaced returns ids separated by spaces.
func spaced(ids []int32) string { return strings.Trim(fmt.Sprint(ids), "[]") }

// scored is a line of the file of log-probabilities.
type scored struct {
	ID      int32   `json:"id"`
	LogProb float64 `json:"logprob"`
}

// writeLogProbs computes the log-probabilities of ids after prompt, at temperature 1, and
// writes them to path.
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
