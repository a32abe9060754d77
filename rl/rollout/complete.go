package rollout

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Complete calls s.Sample and checks the samples. It returns an error if their number is
// wrong, or if a sample has the wrong prompt, is empty, is longer than the policy's MaxTokens
// or the model's max_position_embeddings allows, has a token outside of the vocabulary, or
// does not have a finite log-probability for each token. If Policy.Experts is set, each sample
// must have a complete and valid record of experts.
func Complete(ctx context.Context, s Sampler, prompts []Prompt, d Draw) ([]Sample, error) {
	samples, err := s.Sample(ctx, prompts, d)
	if err != nil {
		return nil, err
	}
	if want := d.N * len(prompts); len(samples) != want {
		return nil, fmt.Errorf("rollout: the Sampler returned %d samples, want %d of each of %d prompts", len(samples),
			d.N, len(prompts))
	}
	policy := s.Policy()
	for i, x := range samples {
		p := i / d.N
		if want := d.First + p; x.Prompt != want {
			return nil, fmt.Errorf("rollout: the Sampler's sample %d is of prompt %d, want %d", i, x.Prompt, want)
		}
		if err := policy.check(prompts[p], x); err != nil {
			return nil, fmt.Errorf("rollout: the Sampler's sample %d %w", i, err)
		}
	}
	return samples, nil
}

// check reports why x cannot be a completion of prompt.
func (p Policy) check(prompt Prompt, x Sample) error {
	switch {
	case len(x.IDs) == 0 || len(x.LogProbs) != len(x.IDs):
		return fmt.Errorf("has %d tokens and %d log-probabilities, want one for each token and at least one token",
			len(x.IDs), len(x.LogProbs))
	case p.MaxTokens > 0 && len(x.IDs) > p.MaxTokens:
		return fmt.Errorf("has %d tokens, Policy.MaxTokens is %d", len(x.IDs), p.MaxTokens)
	}
	for i, v := range x.LogProbs {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("has the log-probability %g of token %d", v, i)
		}
	}
	if !p.Experts && x.Experts != nil {
		return errors.New("has experts, Policy.Experts is false")
	}
	if p.Model == nil {
		return nil
	}
	c := p.Model.Config
	if n := len(prompt.IDs) + len(x.IDs); n-1 > c.MaxPositionEmbeddings { // the last token is not read
		return fmt.Errorf("has %d tokens with its prompt, max_position_embeddings is %d", n, c.MaxPositionEmbeddings)
	}
	for i, id := range x.IDs {
		if id < 0 || int(id) >= c.VocabSize {
			return fmt.Errorf("has %d as token %d, vocab_size is %d", id, i, c.VocabSize)
		}
	}
	if p.Experts {
		if err := p.Model.CheckExperts(len(prompt.IDs)+len(x.IDs)-1, x.Experts); err != nil {
			return fmt.Errorf("has a bad record of experts: %w", err)
		}
	}
	return nil
}
