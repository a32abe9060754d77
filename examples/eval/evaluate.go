package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// result is what -json prints.
type result struct {
	Version int     `json:"version"` // version of these fields: 1
	Tokens  int     `json:"tokens"`  // number of predicted tokens
	Context int     `json:"context"`
	Nats    float64 `json:"nats_per_token"`
	// Perplexity is the exponential of Nats.
	Perplexity float64 `json:"perplexity"`
	Seconds    float64 `json:"seconds"` // without loading
	Rate       float64 `json:"tokens_per_second"`
}

// String returns the result as a line of text.
func (r result) String() string {
	return fmt.Sprintf("%d tokens in windows of %d: %.6f nats/token, perplexity %.4f, %.1f tokens/s", r.Tokens, r.Context,
		r.Nats, r.Perplexity, r.Rate)
}

// windows cuts the ids of a text into sequences that predict at most length tokens
// each. Each sequence begins with the last token of the one before.
func windows(ids []int32, length int) (seqs []model.Sequence) {
	for at := 0; at < len(ids)-1; at += length {
		seqs = append(seqs, model.Sequence{IDs: ids[at:min(at+length+1, len(ids))]})
	}
	return seqs
}

// evaluate computes the perplexity of texts, cut into windows. It reports progress in
// tokens to shown.
func evaluate(ctx context.Context, m *model.Model, texts []text, o options,
	shown func(done, total int)) (result, error) {
	r := result{Version: 1, Context: o.Context}
	var seqs []model.Sequence
	total := 0
	for _, t := range texts {
		seqs = append(seqs, windows(t.ids, o.Context)...)
		total += len(t.ids) - 1
	}
	s := tensor.NewScope(m.Backend(), tensor.Options{})
	defer s.Close()
	began := time.Now()
	sum := 0.0 // summed token by token, so that it does not depend on the batches
	shown(0, total)
	for _, micro := range model.MicroBatches(seqs, o.Rows) {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		s.Reset()
		b := m.NewBatch(s, micro, model.Totals(micro))
		logProbs, err := m.Forward(s, b).LogProbs(b.Targets).Values()
		if err != nil {
			return r, err
		}
		for _, lp := range logProbs {
			sum -= lp
		}
		r.Tokens += len(logProbs)
		shown(r.Tokens, total)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return r, fmt.Errorf("the mean log-probability is %g: logits are not finite", -sum)
	}
	r.Seconds = time.Since(began).Seconds()
	r.Nats = sum / float64(r.Tokens)
	r.Perplexity, r.Rate = math.Exp(r.Nats), float64(r.Tokens)/r.Seconds
	return r, nil
}
