package model

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/moe"
)

// Model is a decoder-only language model.
type Model struct {
	Config  Config
	Options Options // how it was made
	Params  *tensor.Params
	Embed   *tensor.Param // [V, D]
	Blocks  []Block
	Norm    *tensor.Param // [D]
	Head    *tensor.Param // [V, D]; the embedding itself where they are tied
	Angles  tensor.Angles // of RoPE, for MaxPositionEmbeddings positions

	// Recompute makes training keep only the input of each block and run the
	// block again in the backward pass: less memory, a third more time, the
	// same bits.
	Recompute bool
}

// Options say how a model is made. The zero value is an F32 model in the naive
// form of MLA.
type Options struct {
	// DType is the dtype of weights and arithmetic: F32, or F64 for tests.
	DType backend.DType
	// Precision is the dtype of activations and of their gradients, and of the
	// keys and values that a generator caches: BF16, or 0 for DType. Weights,
	// their gradients, statistics and sums stay F32.
	Precision backend.DType
	// RoundKV trains with keys and values rounded to BF16, so that a generator
	// whose cache is BF16 agrees with training bit for bit although Precision is
	// not. Their gradients are rounded with them.
	RoundKV bool
	// Absorbed selects the weight-absorbed form of MLA, for training and
	// generation alike.
	Absorbed bool
	// Format is the arithmetic of products with weight matrices, for training and
	// generation alike: backend.Native is that of DType; backend.BFloat16 rounds
	// their operands; formats that are forward only, such as backend.Q8, need Packed.
	// Routers keep DType.
	Format backend.Format
	// Tables is the Format of the embedding and of the output head, lookups included.
	Tables backend.Format
	// Packed keeps weights in their format only, without a master copy: for
	// inference, in little more memory than the weights take. Where the backend does not
	// pack backend.Native, as CUDA does not, weights in it are not packed.
	Packed bool
	// Block makes the blocks; nil means Layers, as Config describes them. Config still says
	// what is around them, and has to be valid.
	Block NewBlock
	// Uninitialized makes a model without values, as Load does before it reads the files:
	// nothing is drawn, and parameters that are packed never exist in another form. Using
	// one that was not loaded panics.
	Uninitialized bool
}

func (o Options) validate() error {
	switch {
	case o.DType != backend.F32 && o.DType != backend.F64:
		return fmt.Errorf("model: Options.DType is %s, want F32 or F64", o.DType)
	case o.Precision != backend.F32 && o.Precision != backend.BF16:
		return fmt.Errorf("model: Options.Precision is %s, want BF16 or 0", o.Precision)
	case o.DType != backend.F32 && (o.Precision == backend.BF16 || o.RoundKV):
		return fmt.Errorf("model: Options.Precision is %s, RoundKV %t: these go with F32, not with %s",
			o.Precision, o.RoundKV, o.DType)
	}
	for _, f := range []struct {
		field  string
		format backend.Format
	}{{"Format", o.Format}, {"Tables", o.Tables}} {
		if err := f.format.Validate(); err != nil {
			return fmt.Errorf("model: Options.%s: %w", f.field, err)
		}
		switch {
		case f.format != backend.Native && o.DType != backend.F32:
			return fmt.Errorf("model: Options.%s: %s goes with F32, not with %s", f.field, f.format, o.DType)
		case f.format.ForwardOnly && !o.Packed:
			return fmt.Errorf("model: Options.%s: %s is for inference: set Packed", f.field, f.format)
		}
	}
	return nil
}

// New creates a model with fresh weights, which depend on seed and on their
// names alone.
func New(b backend.Backend, cfg Config, seed uint64) (*Model, error) {
	return NewWith(b, cfg, seed, Options{})
}

// NewWith is New with options.
func NewWith(b backend.Backend, cfg Config, seed uint64, o Options) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	angles, err := attention.NewAngles(b, o.DType, cfg.MaxPositionEmbeddings, cfg.RoPEDim(), cfg.RoPETheta, cfg.scaling())
	if err != nil {
		return nil, err
	}
	ps := tensor.NewParams(b, tensor.Init{
		Seed: seed, Std: cfg.InitializerRange, DType: o.DType,
		Format: o.Format, Tables: o.Tables, Packed: o.Packed, Uninitialized: o.Uninitialized,
	})
	m := &Model{Config: cfg, Options: o, Params: ps, Angles: angles}
	m.Embed = ps.Table("model.embed_tokens.weight", cfg.VocabSize, cfg.HiddenSize)
	for l := range cfg.NumHiddenLayers {
		m.Blocks = append(m.Blocks, m.NewBlock(l))
	}
	m.Norm = ps.Gain("model.norm.weight", cfg.HiddenSize)
	m.Head = m.Embed
	if !cfg.TieWordEmbeddings {
		m.Head = ps.Table(headName, cfg.VocabSize, cfg.HiddenSize)
	}
	if err := ps.Err(); err != nil {
		m.Free()
		return nil, err
	}
	return m, nil
}

// Free gives back the memory of the weights and of what belongs to them.
func (m *Model) Free() {
	m.Params.Free()
	m.Angles.Cos.Free()
	m.Angles.Sin.Free()
}

// notFinite says why logits are not finite.
func (m *Model) notFinite() error {
	bad, err := tensor.NotFinite(m.Params.All())
	if err == nil && bad == "" {
		bad = "all weights are, so that activations overflow"
	}
	return cmp.Or(err, errors.New(bad))
}

// Backend is the device the model lives on.
func (m *Model) Backend() backend.Backend { return m.Params.Backend() }

// ActivationDType is the dtype of the residual stream and of all activations.
func (m *Model) ActivationDType() backend.DType { return m.Options.activations() }

func (o Options) activations() backend.DType {
	if o.Precision == backend.BF16 {
		return backend.BF16
	}
	return o.DType
}

// cacheDType is the dtype in which keys and values are attended to in training.
func (o Options) cacheDType() backend.DType {
	if o.RoundKV {
		return backend.BF16
	}
	return o.activations()
}

// Absorbed reports whether MLA works in its weight-absorbed form.
func (m *Model) Absorbed() bool { return m.Options.Absorbed && m.Config.IsMLA() }

// NewBlock makes the block of layer l, as those of m were made.
func (m *Model) NewBlock(l int) Block {
	if m.Options.Block != nil {
		return m.Options.Block(m.Params, m.Config, l, m.Angles, m.Options)
	}
	return NewLayer(m.Params, m.Config, l, m.Angles, m.Options)
}

// Output is the result of a forward.
type Output struct {
	Hidden   tensor.Tensor   // [N, D]: after the final norm, what the head reads
	Residual tensor.Tensor   // [N, D]: the residual stream before the final norm
	Scores   []tensor.Tensor // the affinities [N, E] of Model.Gates, in their order; none over caches
	model    *Model
}

// Forward runs the model over the packed sequences of a batch.
func (m *Model) Forward(s *tensor.Scope, b Batch) Output {
	return m.forward(s, b.IDs, b.Rows, nil, b.routing)
}

// forward runs the model over packed rows, with one cache a layer or none.
func (m *Model) forward(
	s *tensor.Scope, ids tensor.Tensor, rows attention.Rows, caches []*attention.Cache, routes routing,
) Output {
	out := Output{model: m}
	choices := routes.reader(ids.Len())
	h := tensor.Embedding(m.Embed, ids, m.ActivationDType()) // [N,D]
	for l, b := range m.Blocks {
		var cache *attention.Cache
		if caches != nil {
			cache = caches[l]
		}
		var scores []tensor.Tensor
		h, scores = m.forwardBlock(b, h, rows, cache, choices.next(b.Gates()))
		out.Scores = append(out.Scores, scores...)
	}
	out.Residual = h
	out.Hidden = tensor.RMSNorm(h, m.Norm, m.Config.RMSNormEps)
	return out
}

// ForwardBlock is b.Forward for a block of m or of its Drafter: recomputed in
// training if Recompute is set, its temporaries freed at once in inference. Where rows
// continue what is cached there are no scores. A block that returns the scores of more or
// fewer gates than it has panics.
func (m *Model) ForwardBlock(
	b Block, h tensor.Tensor, rows attention.Rows, cache *attention.Cache,
) (out tensor.Tensor, scores []tensor.Tensor) {
	return m.forwardBlock(b, h, rows, cache, nil)
}

// forwardBlock is ForwardBlock with choices for the gates of b, or none.
func (m *Model) forwardBlock(
	b Block, h tensor.Tensor, rows attention.Rows, cache *attention.Cache, choices []moe.Choice,
) (out tensor.Tensor, scores []tensor.Tensor) {
	s := h.Scope()
	forward := func(h tensor.Tensor) (tensor.Tensor, []tensor.Tensor) {
		done := choose(b, choices)
		out, scores := b.Forward(h, rows, cache)
		done()
		if n := len(b.Gates()); len(scores) != n {
			panic(fmt.Sprintf("model: %T.Forward returned the scores of %d gates, Gates lists %d", b, len(scores), n))
		}
		return out, scores
	}
	switch {
	case !s.Recording():
		out = s.Local(func() tensor.Tensor {
			y, all := forward(h)
			if !rows.Cache.Present() {
				scores = all
			}
			for _, x := range scores {
				x.Keep() // an evaluation's balance loss reads them
			}
			return y
		})
		return out, scores
	case !m.Recompute:
		return forward(h)
	}
	outs := tensor.Recompute(func(_ *tensor.Scope, in []tensor.Tensor) []tensor.Tensor {
		out, scores := forward(in[0])
		return append([]tensor.Tensor{out}, scores...)
	}, h)
	return outs[0], outs[1:]
}

// LogProbs is the log-probability [N] of each row's target at temperature 1; a
// negative target gives 0. The logits are never held whole.
func (o Output) LogProbs(targets tensor.Tensor) tensor.Tensor {
	lp, _ := o.Score(targets, 1)
	return lp
}

// Score is the log-probability [N] of each row's target and the entropy [N] of
// each row's distribution, at a sampling temperature; 0 means 1.
func (o Output) Score(targets tensor.Tensor, temperature float64) (logProb, entropy tensor.Tensor) {
	return tensor.LogProbs(o.Hidden, o.model.Head, targets, o.inverse(temperature))
}

// BalanceLoss is the sequence-wise balance loss summed over the MoE layers, of
// shape [1], and whether there are any: alpha averaged over the sequences of
// the global batch (DeepSeek-V3 eq. 17–20). drafted are the gates of the
// Drafter, as its Loss returns them.
func (o Output) BalanceLoss(b Batch, alpha float64, drafted ...Gated) (loss tensor.Tensor, ok bool) {
	gates, _ := o.model.Gates()
	var all []Gated
	for i, scores := range o.Scores {
		all = append(all, Gated{gates[i], scores, b.SeqStart})
	}
	for _, g := range append(all, drafted...) {
		term := g.Gate.BalanceLoss(g.Scores, g.SeqStart, alpha, b.Sequences)
		if ok {
			term = tensor.Add(loss, term)
		}
		loss, ok = term, true
	}
	return loss, ok
}

// Gated is what a gate did in a forward of N rows of S sequences.
type Gated struct {
	Gate     *moe.Gate
	Scores   tensor.Tensor // [N, E]: its affinities
	SeqStart tensor.Tensor // [S+1] I32: first row of each sequence, and N
}

// Gates lists the gates of the MoE layers in order, with the layer each is in.
func (m *Model) Gates() (gates []*moe.Gate, layers []int) {
	for l, b := range m.Blocks {
		for _, g := range b.Gates() {
			gates = append(gates, g)
			layers = append(layers, l)
		}
	}
	return gates, layers
}

// Linears lists the projections of all layers, which may have adapters, see
// Block.Linears. Those of a Drafter are not among them.
func (m *Model) Linears() []*tensor.Linear {
	var all []*tensor.Linear
	for _, b := range m.Blocks {
		all = append(all, b.Linears()...)
	}
	return all
}

// Drafter proposes tokens ahead of the model: the multi-token prediction
// modules of package mtp.
type Drafter interface {
	// Loss is the drafter's training loss on a batch, of shape [1], and the gates it
	// used, for Output.BalanceLoss.
	Loss(s *tensor.Scope, out Output, b Batch) (loss tensor.Tensor, gated []Gated)
	// Params lists the parameters of the drafter's own, which are among those of
	// the model.
	Params() []*tensor.Param
	// Gates lists the gates of the drafter's MoE layers, with the layer each is in.
	Gates() (gates []*moe.Gate, layers []int)
	// Advance tells the drafter before each update how many tokens were consumed,
	// for what changes with them. An error ends the update before it has begun.
	Advance(tokens int64) error
	// Settings are what decides Loss beside weights and tokens, as data that
	// encoding/json writes: a resumed run must have the same.
	Settings() any
}
