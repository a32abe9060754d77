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

// Sampling is how tokens are drawn from the model's distribution. The zero value
// draws from the whole of it at temperature 1.
type Sampling struct {
	Greedy      bool    // takes the most likely token, scored at temperature 1, whatever the other fields are
	Temperature float64 // logits are divided by it; 0 means 1, else at least MinTemperature
	TopK        int     // keep this many of the most likely; 0 means all
	TopP        float64 // then the fewest with this mass; 0 means 1, all
}

// MinTemperature is the lowest temperature: logits divided by it stay finite in
// F32, and DeepSeek's own generate.py goes no lower either.
const MinTemperature = 1e-5

// Validate reports the first field that no token could be drawn with, by its
// name.
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

// temperature is Temperature with its default.
func (s Sampling) temperature() float64 { return cmp.Or(s.Temperature, 1) }

// Drops reports whether TopK or TopP may leave tokens out of the distribution.
func (s Sampling) Drops() bool { return s.TopK > 0 || s.TopP > 0 && s.TopP < 1 }

// Request asks for one completion.
type Request struct {
	Prompt    []int32
	MaxTokens int // most new tokens, the stop token included; at least 1
	Sampling  Sampling
	// Seed keys the draws: a completion depends on the weights, the prompt and
	// this, whatever else is in the batch.
	Seed uint64
	// Stop are the tokens that end the completion; nil means the config's
	// eos_token_id.
	Stop []int32
	// OnToken is called with each new token in the step that draws it, by the
	// goroutine of Generate; nil means no calls.
	OnToken func(id int32)
}

// Finish says why a completion ended.
type Finish uint8

const (
	Stopped   Finish = iota // it produced a stop token, its last
	Truncated               // it reached MaxTokens
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

// Completion is the answer to a Request.
type Completion struct {
	Tokens []int32 // new tokens, the stop token included
	// LogProbs are the log-probabilities of Tokens under the distribution they
	// were drawn from.
	LogProbs []float64
	Finish   Finish
	// Experts are those that each token which was read, all but the last, was routed to: the
	// Experts of the Sequence of prompt and Tokens. nil without GeneratorOptions.Experts.
	Experts []uint16
	// Reused is the number of prompt tokens that were not read, see
	// GeneratorOptions.Reuse.
	Reused int
}

// GeneratorOptions size a Generator.
type GeneratorOptions struct {
	// Slots is the number of sequences decoded together; 0 means as many as keep
	// their keys and values in 2 GiB, at least 1 and at most 64: 9 sequences of
	// 4096 tokens of R1DistillQwen1_5B, whose keys and values take 56 KiB a
	// token.
	Slots int
	// MaxLen is the longest sequence, prompt and completion; 0 means the
	// config's max_position_embeddings, at most 4096.
	MaxLen int
	// PrefillRows bounds the prompt tokens of one forward; 0 means 4096.
	PrefillRows int
	// Reuse keeps the keys and values of ended sequences from one Generate to the next, as
	// for the turns of a chat: of a prompt only what follows the beginning that a free slot
	// has is read, and completions are the same. Weights must not change between.
	Reuse bool
	// Cache is the dtype of cached keys and values: BF16, or 0 for that of the
	// model's training. BF16 beside a model that trains without Options.RoundKV or
	// Precision BF16 saves half the memory, and log-probabilities differ from
	// training's.
	Cache backend.DType
	// Experts writes down the experts that tokens are routed to, see Completion.Experts: 2
	// bytes for each of Model.ExpertsPerRow a token. Excludes Reuse, since the experts of what
	// is not read are not known.
	Experts bool
}

// cacheDType is the dtype of the cache beside a model made with mo.
func (o GeneratorOptions) cacheDType(mo Options) backend.DType {
	if o.Cache == backend.BF16 {
		return backend.BF16
	}
	return mo.cacheDType()
}

// withDefaults fills in what is 0, for the model m.
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

// tokenBytes is the memory of the keys and values of one token in all layers.
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

// Generator decodes with continuous batching: a finished sequence leaves the
// batch at once and a waiting one takes its slot. Requests in a row that have
// one prompt, such as a group of GRPO, share the reading of it. Each step is the training
// forward over cached keys, so that log-probabilities agree with training's
// bit for bit. It is used by one goroutine.
type Generator struct {
	m        *Model
	o        GeneratorOptions
	s        *tensor.Scope // temporaries of one step
	io       *tensor.Scope // inputs and results of the decode step
	caches   []*attention.Cache
	held     [][]int32     // with Reuse, the tokens by slot whose keys the caches have
	experts  tensor.Tensor // of a decode step, [slots·ExpertsPerRow] I32; absent without Experts
	routed   [][]uint16    // with Experts, those of the tokens by slot whose keys the caches have
	decoder  decoder
	programs map[int]*backend.Program // the recorded decode step by batch size
	adapters []*tensor.LowRank        // those that the programs have, one of each of Model.Linears
	closed   bool
}

// NewGenerator allocates the caches and buffers for m.
func NewGenerator(m *Model, o GeneratorOptions) (*Generator, error) {
	o, err := o.withDefaults(m)
	if err != nil {
		return nil, err
	}
	if o.Slots < 0 || o.MaxLen < 0 || o.MaxLen > m.Config.MaxPositionEmbeddings || o.PrefillRows < 0 {
		return nil, fmt.Errorf("model: generator of %d slots of %d tokens, %d rows a prefill; max_position_embeddings is %d",
			o.Slots, o.MaxLen, o.PrefillRows, m.Config.MaxPositionEmbeddings)
	}
	if o.Cache != backend.F32 && o.Cache != backend.BF16 || o.Cache == backend.BF16 && m.Options.DType != backend.F32 {
		return nil, fmt.Errorf("model: GeneratorOptions.Cache is %s beside a model of %s, want BF16 beside F32, or 0",
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

// Model is the model whose weights the generator reads.
func (g *Generator) Model() *Model { return g.m }

// RecordsExperts reports whether completions have Experts, see GeneratorOptions.Experts.
func (g *Generator) RecordsExperts() bool { return g.o.Experts }

// MaxLen is the longest sequence in tokens, prompt and completion.
func (g *Generator) MaxLen() int { return g.o.MaxLen }

// Close gives back the generator's memory and ends it: Generate fails.
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
	reused  int // of these, the tokens that were there before
	last    int32
}

// Generate completes all requests, in as many steps as it takes, and returns
// their completions in order. A cancelled context ends it within a step, with
// the cause as the error. Logits that are not finite are an error that names the first
// weight at fault.
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
		step := batch // those that get a token now
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

// hold notes that the caches have the prompts of admitted sequences.
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

// copyKeys gives sequences the keys of their prompts, but for the last token's.
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

// route notes the experts of the rows that sequences have read, n(i) of sequence i.
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
		return fmt.Errorf("empty prompt")
	case r.MaxTokens < 1:
		return fmt.Errorf("max tokens %d", r.MaxTokens)
	case r.MaxTokens > g.o.MaxLen-len(r.Prompt):
		return fmt.Errorf("%d prompt tokens and up to %d new ones, the generator holds %d", len(r.Prompt), r.MaxTokens,
			g.o.MaxLen)
	}
	if err := r.Sampling.Validate(); err != nil {
		return fmt.Errorf("Sampling.%w", err)
	}
	for i, id := range r.Prompt {
		if id < 0 || int(id) >= g.m.Config.VocabSize {
			return fmt.Errorf("prompt token %d is %d, the vocabulary has %d", i, id, g.m.Config.VocabSize)
		}
	}
	return nil
}

// take appends the step's tokens to the completions of batch and reports them.
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

// finished reports whether c is complete, and says why in c.
func finished(c *Completion, r Request, cfg Config) bool {
	if len(c.Tokens) == 0 { // its prompt is shared: its first token comes next
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

// prefill runs the prompts of the admitted sequences and draws their first
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

// decode advances every sequence of the batch by one token.
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

// Prepare records the decode steps of all numbers of sequences up to Slots, which
// are else recorded when they are first needed: decoding then takes no further
// memory, whichever sequences end first.
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

// followAdapters forgets the recorded steps if adapters were attached or merged since.
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

// program is the decode step of n sequences, recorded at its first use. All
// programs share the memory of g.s: each writes before it reads.
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
