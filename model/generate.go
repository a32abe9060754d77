package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Sampling describes how tokens are drawn from the model's distribution. The zero value
// draws from the full distribution at temperature 1.
type Sampling struct {
	// Greedy takes the most likely token, with its log-probability at temperature 1, and
	// ignores the other fields.
	Greedy      bool
	Temperature float64 // divides the logits; 0 means 1, otherwise at least MinTemperature
	TopK        int     // keep only the k most likely tokens; 0 means all
	TopP        float64 // then keep the fewest most likely tokens whose probabilities sum to p; 0 and 1 mean all
}

// MinTemperature is the lowest temperature: logits divided by it stay finite in F32.
// DeepSeek's generate.py has the same limit.
const MinTemperature = 1e-5

// Validate returns an error that names the first invalid field.
func (s Sampling) Validate() error {
	switch t := s.temperature(); {
	case !(t >= MinTemperature && t <= math.MaxFloat64):
		return fmt.Errorf("Temperature is %g, want 0, which means 1, or a finite number from %g up", t, MinTemperature)
	case s.TopK < 0:
		return fmt.Errorf("TopK is %d, want 0 or more", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("TopP is %g, want 0 to 1", s.TopP)
	}
	return nil
}

// temperature returns Temperature or its default.
func (s Sampling) temperature() float64 { return cmp.Or(s.Temperature, 1) }

// Drops reports whether TopK or TopP may remove tokens from the distribution.
func (s Sampling) Drops() bool { return s.TopK > 0 || s.TopP > 0 && s.TopP < 1 }

// Request describes one completion to generate.
type Request struct {
	Prompt    []int32
	MaxTokens int // maximum number of new tokens, including the stop token; at least 1
	Sampling  Sampling
	// Seed determines the random draws: a completion depends only on the weights and its
	// request, not on the rest of the batch.
	Seed uint64
	// Stop are the tokens that end the completion; nil means the config's eos_token_id.
	Stop []int32
	// OnToken, unless nil, is called with each new token in the step that draws it, by the
	// goroutine of Generate.
	OnToken func(id int32)
}

// Finish is the reason why a completion ended.
type Finish uint8

const (
	Stopped   Finish = iota // the last token is a stop token
	Truncated               // the completion reached MaxTokens
)

func (f Finish) String() string {
	switch f {
	case Stopped:
		return "stopped"
	case Truncated:
		return "truncated"
	}
	return fmt.Sprintf("Finish(%d)", uint8(f))
}

// Completion is the result of a Request.
type Completion struct {
	Tokens []int32 // new tokens, including the stop token
	// LogProbs are the log-probabilities of Tokens under the distribution that they were
	// drawn from, after temperature, top-k and top-p.
	LogProbs []float64
	Finish   Finish
	// Experts are the experts that each token that was read, that is all but the last, was
	// routed to, in the form of Sequence.Experts for the sequence of prompt and Tokens. It
	// is nil without GeneratorOptions.Experts.
	Experts []uint16
	// Reused is the number of prompt tokens whose keys and values were cached already, see
	// GeneratorOptions.Reuse.
	Reused int
}

// GeneratorOptions sets the size and the features of a Generator.
type GeneratorOptions struct {
	// Slots is the number of sequences that are decoded together. If 0, it is the number
	// whose keys and values fit in 2 GiB, at least 1 and at most 64: 9 sequences of 4096
	// tokens for R1DistillQwen1_5B, which needs 56 KiB per token.
	Slots int
	// MaxLen is the maximum length of a sequence, prompt and completion together. If 0, it
	// is the config's max_position_embeddings, but at most 4096.
	MaxLen int
	// PrefillRows is the maximum number of prompt tokens in one forward; 0 means 4096. A
	// longer prompt is prefilled alone.
	PrefillRows int
	// Reuse keeps the keys and values of finished sequences from one Generate to the next,
	// as for the turns of a chat: if a prompt begins with the tokens that a free slot has
	// cached, only the rest is prefilled. The completions are the same. The weights must
	// not change between the calls.
	Reuse bool
	// Cache is the dtype of cached keys and values: BF16, or 0 for the dtype that the model
	// attends to in training. If that is F32, BF16 halves the memory of the cache, but
	// log-probabilities then differ from training's.
	Cache backend.DType
	// Experts records the experts that tokens are routed to, see Completion.Experts. It
	// takes 2 bytes times Model.ExpertsPerRow per token. It excludes Reuse, since the
	// experts of tokens that are not read are unknown.
	Experts bool
}

// cacheDType returns the dtype of the cache for a model with options mo.
func (o GeneratorOptions) cacheDType(mo Options) backend.DType {
	if o.Cache == backend.BF16 {
		return backend.BF16
	}
	return mo.cacheDType()
}

// withDefaults replaces zero fields by their defaults for model m.
func (o GeneratorOptions) withDefaults(m *Model) (GeneratorOptions, error) {
	const budget, maxSlots, maxLen = 2 << 30, 64, 4096
	if o.MaxLen == 0 {
		o.MaxLen = min(m.Config.MaxPositionEmbeddings, maxLen)
	}
	if o.Slots == 0 {
		token, err := m.tokenBytes(o.cacheDType(m.Options))
		if err != nil {
			return o, err
		}
		o.Slots = min(max(budget/max(token*o.MaxLen, 1), 1), maxSlots)
	}
	if o.PrefillRows == 0 {
		o.PrefillRows = 4096
	}
	return o, nil
}

// tokenBytes returns the memory of the keys and values of one token in all layers.
func (m *Model) tokenBytes(dt backend.DType) (int, error) {
	total := 0
	for _, b := range m.Blocks {
		c, err := b.NewCache(m.Backend(), dt, 1)
		if err != nil {
			return 0, err
		}
		total += c.Bytes()
		c.Free()
	}
	return total, nil
}

// Generator decodes with continuous batching: when a sequence ends, a waiting one takes its
// slot in the next step. Consecutive requests with the same prompt, such as a group of
// GRPO, prefill it once. Each step computes the training forward over cached keys, so
// log-probabilities agree with training's bit for bit. A Generator must be used by one
// goroutine only.
type Generator struct {
	m        *Model
	o        GeneratorOptions
	s        *tensor.Scope // temporaries of one step
	io       *tensor.Scope // inputs and results of the decode step
	caches   []*attention.Cache
	held     [][]int32     // with Reuse, the tokens whose keys are in the cache, by slot
	experts  tensor.Tensor // experts of a decode step, [slots·ExpertsPerRow] I32; absent without Experts
	routed   [][]uint16    // with Experts, the experts of the tokens in the cache, by slot
	decoder  decoder
	programs map[int]*backend.Program // recorded decode steps, by batch size
	adapters []*tensor.LowRank        // adapters when the programs were recorded, one for each of Model.Linears
	closed   bool
}

// NewGenerator allocates a generator with caches and buffers for m.
func NewGenerator(m *Model, o GeneratorOptions) (*Generator, error) {
	o, err := o.withDefaults(m)
	if err != nil {
		return nil, err
	}
	if o.Slots < 0 || o.MaxLen < 0 || o.MaxLen > m.Config.MaxPositionEmbeddings || o.PrefillRows < 0 {
		return nil, fmt.Errorf("model: generator of %d slots of %d tokens, %d rows per prefill; "+
			"max_position_embeddings is %d",
			o.Slots, o.MaxLen, o.PrefillRows, m.Config.MaxPositionEmbeddings)
	}
	if o.Cache != backend.F32 && o.Cache != backend.BF16 || o.Cache == backend.BF16 && m.Options.DType != backend.F32 {
		return nil, fmt.Errorf("model: GeneratorOptions.Cache is %s in a model of %s, want BF16 in a model of F32, or 0",
			o.Cache, m.Options.DType)
	}
	if o.Experts {
		if err := m.canRecordExperts(); err != nil {
			return nil, fmt.Errorf("model: GeneratorOptions.Experts: %w", err)
		}
		if o.Reuse {
			return nil, errors.New("model: GeneratorOptions.Experts is set with Reuse: " +
				"the experts of tokens that are not read are not known")
		}
	}
	b := m.Backend()
	g := &Generator{m: m, o: o, s: tensor.NewScope(b, tensor.Options{}), io: tensor.NewScope(b, tensor.Options{}),
		programs: map[int]*backend.Program{}}
	for _, block := range m.Blocks {
		c, err := block.NewCache(b, o.cacheDType(m.Options), o.Slots*o.MaxLen)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.caches = append(g.caches, c)
	}
	if o.Reuse {
		g.held = make([][]int32, o.Slots)
	}
	if o.Experts {
		g.experts, g.routed = m.newChosen(g.io, o.Slots), make([][]uint16, o.Slots)
	}
	g.decoder = newDecoder(g.io, m.Params.DType(), o.Slots)
	if err := g.io.Err(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Model returns the model that the generator decodes with.
func (g *Generator) Model() *Model { return g.m }

// RecordsExperts reports whether GeneratorOptions.Experts is set, so that completions have
// Experts.
func (g *Generator) RecordsExperts() bool { return g.o.Experts }

// MaxLen returns the maximum length of a sequence in tokens, prompt and completion
// together.
func (g *Generator) MaxLen() int { return g.o.MaxLen }

// Close releases the generator's memory. After it, Generate returns an error.
func (g *Generator) Close() {
	g.closed = true
	g.forget()
	for _, c := range g.caches {
		c.Free()
	}
	g.s.Close()
	g.io.Close()
}

// running is one sequence in the batch.
type running struct {
	request int
	slot    int
	length  int // tokens in the cache
	reused  int // of these, the tokens that were cached before the request
	last    int32
}

// Generate completes all requests, in as many steps as needed, and returns their
// completions in order. If ctx is cancelled, Generate returns its cause after the current
// step. Logits that are not finite are an error that names the first weight that is not
// finite.
func (g *Generator) Generate(ctx context.Context, requests []Request) ([]Completion, error) {
	if g.closed {
		return nil, errors.New("model: generate: the generator is closed")
	}
	for i, r := range requests {
		if err := g.validate(r); err != nil {
			return nil, fmt.Errorf("model: request %d: %w", i, err)
		}
	}
	if err := tensor.Repack(g.m.Params.All()); err != nil {
		return nil, err
	}
	g.followAdapters()
	out := make([]Completion, len(requests))
	q := newQueue(requests, g.o.Slots, g.held)
	var batch []running
	for q.waiting() || len(batch) > 0 {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		fresh, shared := q.admit(g.o.PrefillRows)
		step := batch // sequences that get a token in this step
		var err error
		if len(fresh)+len(shared) > 0 {
			batch = append(batch, fresh...)
			for _, s := range shared {
				batch = append(batch, s.running)
			}
			at := len(batch) - len(shared)
			step = batch[at-len(fresh) : at]
			err = g.prefill(step, requests)
			g.copyKeys(shared)
			if err == nil {
				g.hold(step, shared, requests)
			}
		} else {
			err = g.decode(step, requests)
		}
		if err = cmp.Or(err, g.s.Err()); err != nil {
			return nil, err
		}
		if err := g.take(step, requests, out); err != nil {
			return nil, err
		}
		for _, r := range fresh {
			out[r.request].Reused = r.reused
		}
		batch = slices.DeleteFunc(batch, func(r running) bool {
			done := finished(&out[r.request], requests[r.request], g.m.Config)
			if done {
				if g.routed != nil {
					out[r.request].Experts = slices.Clone(g.routed[r.slot])
				}
				q.free = append(q.free, r.slot)
			}
			return done
		})
	}
	return out, nil
}

// hold records in g.held that the caches contain the prompts of the admitted sequences.
func (g *Generator) hold(fresh []running, shared []share, requests []Request) {
	if g.held == nil {
		return
	}
	for _, s := range shared {
		fresh = append(fresh[:len(fresh):len(fresh)], s.running)
	}
	for _, r := range fresh {
		g.held[r.slot] = append(g.held[r.slot][:0], requests[r.request].Prompt[:r.length]...)
	}
}

// copyKeys copies, for sequences that share a prompt, the keys of all prompt tokens but the
// last.
func (g *Generator) copyKeys(shared []share) {
	for _, s := range shared {
		for _, c := range g.caches {
			if s.slot != s.from {
				c.CopyRows(g.s, s.slot*g.o.MaxLen, s.from*g.o.MaxLen, s.length)
			}
		}
		if g.routed != nil {
			known := g.routed[s.from][:s.length*g.m.ExpertsPerRow()]
			g.routed[s.slot] = append(g.routed[s.slot][:0], known...)
		}
	}
}

// route records the experts of the rows that were read, n(i) rows of sequence i.
func (g *Generator) route(batch []running, experts tensor.Tensor, n func(i int) int) error {
	if g.routed == nil {
		return nil
	}
	rows := 0
	for i := range batch {
		rows += n(i)
	}
	all, err := g.m.download(experts, rows)
	if err != nil {
		return err
	}
	for i, r := range batch {
		length := n(i) * g.m.ExpertsPerRow()
		g.routed[r.slot] = append(g.routed[r.slot], all[:length]...)
		all = all[length:]
	}
	return nil
}

func (g *Generator) validate(r Request) error {
	switch {
	case len(r.Prompt) == 0:
		return fmt.Errorf("the prompt is empty")
	case r.MaxTokens < 1:
		return fmt.Errorf("MaxTokens is %d, want at least 1", r.MaxTokens)
	case r.MaxTokens > g.o.MaxLen-len(r.Prompt):
		return fmt.Errorf("%d prompt tokens and up to %d new ones exceed the generator's MaxLen %d", len(r.Prompt),
			r.MaxTokens, g.o.MaxLen)
	}
	if err := r.Sampling.Validate(); err != nil {
		return fmt.Errorf("Sampling.%w", err)
	}
	for i, id := range r.Prompt {
		if id < 0 || int(id) >= g.m.Config.VocabSize {
			return fmt.Errorf("prompt token %d is %d, outside of the vocabulary of %d", i, id, g.m.Config.VocabSize)
		}
	}
	return nil
}

// take appends the step's tokens to the completions of batch and calls OnToken.
func (g *Generator) take(batch []running, requests []Request, out []Completion) error {
	for i := range batch {
		r, c := &batch[i], &out[batch[i].request]
		if lp := g.decoder.logProbs[i]; math.IsNaN(lp) || math.IsInf(lp, 0) {
			return fmt.Errorf("model: generate: request %d, token %d: the logits are not finite: %w",
				r.request, len(c.Tokens), g.m.notFinite())
		}
		r.last = g.decoder.tokens[i]
		c.Tokens = append(c.Tokens, r.last)
		c.LogProbs = append(c.LogProbs, g.decoder.logProbs[i])
		if call := requests[r.request].OnToken; call != nil {
			call(r.last)
		}
	}
	return nil
}

// finished reports whether c is complete and, if so, sets c.Finish.
func finished(c *Completion, r Request, cfg Config) bool {
	if len(c.Tokens) == 0 { // it shares a prompt, and its first token is drawn in the next step
		return false
	}
	last := c.Tokens[len(c.Tokens)-1]
	stop := slices.Contains(r.Stop, last)
	if r.Stop == nil {
		stop = slices.Contains(cfg.EOSTokenID, int(last))
	}
	if stop {
		c.Finish = Stopped
		return true
	}
	c.Finish = Truncated
	return len(c.Tokens) == r.MaxTokens
}

// prefill runs the model on the prompts of the admitted sequences and draws their first
// tokens.
func (g *Generator) prefill(admitted []running, requests []Request) error {
	if len(admitted) == 0 {
		return nil
	}
	g.s.Reset()
	var ids, last []int32
	var spans []attention.Span
	for _, r := range admitted {
		fresh := requests[r.request].Prompt[r.reused:]
		ids = append(ids, fresh...)
		spans = append(spans, attention.Span{Slot: r.slot, From: r.reused, N: len(fresh)})
		last = append(last, int32(len(ids)-1))
	}
	rows := attention.Continue(g.s, g.o.MaxLen, spans...)
	g.decoder.fillSampling(admitted, requests)
	if err := g.decoder.upload(len(admitted)); err != nil {
		return err
	}
	var routes routing
	if g.routed != nil {
		routes.chosen = g.m.newChosen(g.s, len(ids))
		for _, r := range admitted {
			g.routed[r.slot] = g.routed[r.slot][:0]
		}
	}
	out := g.m.forward(g.s, g.s.Ints(ids, len(ids)), rows, g.caches, routes)
	g.decoder.sample(tensor.GatherRows(out.Hidden, g.s.Ints(last, len(last))), g.m.Head, len(admitted))
	if err := g.s.Err(); err != nil {
		return err
	}
	err := g.route(admitted, routes.chosen, func(i int) int { return len(requests[admitted[i].request].Prompt) })
	return cmp.Or(err, g.decoder.download(len(admitted)))
}

// decode draws one token for every sequence of the batch.
func (g *Generator) decode(batch []running, requests []Request) error {
	n := len(batch)
	g.decoder.fillRows(batch, g.o.MaxLen)
	for i := range batch {
		batch[i].length++
	}
	g.decoder.fillSampling(batch, requests)
	if err := g.decoder.upload(n); err != nil {
		return err
	}
	p, err := g.program(n)
	if err != nil {
		return err
	}
	if err := p.Run(); err != nil {
		return err
	}
	if err := g.route(batch, g.experts, func(int) int { return 1 }); err != nil {
		return err
	}
	if err := g.decoder.download(n); err != nil || g.held == nil {
		return err
	}
	for _, r := range batch {
		g.held[r.slot] = append(g.held[r.slot], r.last)
	}
	return nil
}

// Prepare records the decode steps for all batch sizes up to Slots, which are otherwise
// recorded when first needed. Decoding then needs no further memory, in whatever order
// sequences end.
func (g *Generator) Prepare() error {
	if g.closed {
		return errors.New("model: prepare: the generator is closed")
	}
	g.followAdapters()
	for n := range g.o.Slots {
		if _, err := g.program(n + 1); err != nil {
			return err
		}
	}
	return nil
}

// followAdapters discards the recorded steps if adapters were attached or merged since.
func (g *Generator) followAdapters() {
	var now []*tensor.LowRank
	for _, l := range g.m.Linears() {
		now = append(now, l.Adapter)
	}
	if !slices.Equal(now, g.adapters) {
		g.adapters = now
		g.forget()
	}
}

// forget frees the recorded steps.
func (g *Generator) forget() {
	for _, p := range g.programs {
		p.Free()
	}
	clear(g.programs)
}

// program returns the decode step for n sequences, which it records at its first use. All
// programs share the memory of g.s, which is safe because each writes it before reading.
func (g *Generator) program(n int) (*backend.Program, error) {
	if p := g.programs[n]; p != nil {
		return p, nil
	}
	g.s.Reset()
	p, err := g.s.Record(func() {
		ids, rows := g.decoder.rows(g.s, n)
		var routes routing
		if g.routed != nil {
			routes.chosen = g.s.Constant(head(g.experts, n*g.m.ExpertsPerRow()).View())
		}
		out := g.m.forward(g.s, ids, rows, g.caches, routes)
		g.decoder.sample(out.Hidden, g.m.Head, n)
	})
	if err != nil {
		return nil, err
	}
	g.programs[n] = p
	return p, nil
}
