package rollout

import (
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/model"
)

// Generator is a Sampler that uses a model.Generator.
type Generator struct {
	Generator *model.Generator
	// Trained is the trained model if Generator has another model that generates for it in
	// another precision, form of MLA or format, such as one made with
	// model.Options{Format: backend.Q8, Packed: true, Uninitialized: true}. Both must have the
	// same config and backend. Sample first copies the weights of Trained to Generator's model
	// if they have changed. If nil, Generator's model is the trained model.
	Trained *model.Model
	// Decode converts completion tokens, without the stop token, to text.
	Decode func(ids []int32) string
	// Sampling sets temperature, top-k and top-p. The zero value samples from the whole
	// distribution at temperature 1. DeepSeek-R1 was evaluated at temperature 0.6 and top-p
	// 0.95.
	Sampling model.Sampling
	// Stop lists the tokens that end a completion; nil means the config's eos_token_id.
	Stop      []int32
	MaxTokens int // longest completion, including the stop token; at least 1

	taken []uint64 // versions of the parameters of Trained that Generator's model has copied
}

// Sample generates completions; see Sampler.
func (g *Generator) Sample(ctx context.Context, prompts []Prompt, d Draw) ([]Sample, error) {
	if d.N < 1 {
		return nil, fmt.Errorf("rollout: Draw.N is %d, want 1 or more", d.N)
	}
	if err := g.Check(prompts); err != nil {
		return nil, err
	}
	if err := g.takeWeights(); err != nil {
		return nil, fmt.Errorf("rollout: the weights of Generator.Trained: %w", err)
	}
	requests := make([]model.Request, 0, d.N*len(prompts))
	for p, prompt := range prompts {
		for i := range d.N {
			requests = append(requests, model.Request{
				Prompt: prompt.IDs, MaxTokens: g.MaxTokens, Stop: g.Stop, Sampling: g.Sampling,
				Seed: model.DeriveSeed(d.Seed, "completion", d.First+p, i),
			})
		}
	}
	completions, err := g.Generator.Generate(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("rollout: %d completions of %d prompts: %w", d.N, len(prompts), err)
	}
	samples := make([]Sample, len(completions))
	for i, c := range completions {
		body := c.Tokens
		if c.Finish == model.Stopped {
			body = body[:len(body)-1]
		}
		samples[i] = Sample{
			Prompt: d.First + i/d.N, IDs: c.Tokens, LogProbs: c.LogProbs, Experts: c.Experts, Finish: c.Finish,
			Text: prompts[i/d.N].Prefill + g.Decode(body),
		}
	}
	return samples, nil
}

// Policy returns the model and the settings of the fields.
func (g *Generator) Policy() Policy {
	p := Policy{Sampling: g.Sampling, Stop: g.Stop, MaxTokens: g.MaxTokens}
	if g.Generator != nil {
		p.Model, p.Experts = g.Generator.Model(), g.Generator.RecordsExperts()
	}
	if g.Trained != nil {
		p.Model, p.Drawn = g.Trained, p.Model
	}
	return p
}

// Check reports the first invalid field, or the first prompt that is empty, has a token
// outside of the vocabulary, or does not fit the model.Generator with MaxTokens new tokens.
func (g *Generator) Check(prompts []Prompt) error {
	err := g.validate()
	if err == nil {
		err = g.fits(prompts)
	}
	if err != nil {
		return fmt.Errorf("rollout: %w", err)
	}
	return nil
}

func (g *Generator) validate() error {
	switch {
	case g.Generator == nil:
		return errors.New("Generator.Generator is nil")
	case g.Decode == nil:
		return errors.New("Generator.Decode is nil")
	case g.MaxTokens < 1:
		return fmt.Errorf("Generator.MaxTokens is %d, want 1 or more", g.MaxTokens)
	}
	if err := g.Sampling.Validate(); err != nil {
		return fmt.Errorf("Generator.Sampling.%w", err)
	}
	if g.Trained != nil {
		if err := canDraw(g.Generator.Model(), g.Trained); err != nil {
			return fmt.Errorf("Generator.Trained: %w", err)
		}
	}
	for i, id := range g.Stop {
		if v := g.Generator.Model().Config.VocabSize; id < 0 || int(id) >= v {
			return fmt.Errorf("Generator.Stop[%d] is %d, vocab_size is %d", i, id, v)
		}
	}
	return nil
}

// fits reports the first prompt that a valid Generator cannot complete.
func (g *Generator) fits(prompts []Prompt) error {
	vocab := g.Generator.Model().Config.VocabSize
	for i, p := range prompts {
		switch n, most := len(p.IDs), g.Generator.MaxLen(); {
		case n == 0:
			return fmt.Errorf("prompt %d (%s) has no tokens", i, p.Name())
		case g.MaxTokens > most-n:
			return fmt.Errorf("prompt %d (%s) has %d tokens and Generator.MaxTokens is %d: "+
				"more than the %d that the model.Generator holds", i, p.Name(), n, g.MaxTokens, most)
		}
		for j, id := range p.IDs {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("prompt %d (%s): token %d is %d, vocab_size is %d", i, p.Name(), j, id, vocab)
			}
		}
	}
	return nil
}
