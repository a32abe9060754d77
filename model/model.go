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
	Options Options // the options that it was made with
	Params  *tensor.Params
	Embed   *tensor.Param // [V, D]
	Blocks  []Block
	Norm    *tensor.Param // [D]
	Head    *tensor.Param // [V, D]; the embedding itself if they are tied
	Angles  tensor.Angles // RoPE tables for MaxPositionEmbeddings positions

	// Recompute makes training keep only the input of each block and recompute the block in
	// the backward pass (activation checkpointing): it takes less memory, about a third
	// more time, and gives the same bits.
	Recompute bool
}

// Options describes how a model is made. The zero value gives an F32 model with the naive
// form of MLA.
type Options struct {
	// DType is the dtype of weights and arithmetic: F32, or F64 for tests.
	DType backend.DType
	// Precision is the dtype of activations, of their gradients, and of the keys and values
	// that a generator caches: BF16, or 0 for DType. Weights, their gradients, statistics
	// and sums stay F32.
	Precision backend.DType
	// RoundKV rounds keys and values to BF16 in training, so that a generator with a BF16
	// cache agrees with training bit for bit even if Precision is not BF16. Their gradients
	// are rounded too.
	RoundKV bool
	// Absorbed selects the weight-absorbed form of MLA, for training and generation.
	Absorbed bool
	// Format is the format of weight matrices in matrix products, for training and
	// generation: backend.Native computes in DType; backend.BFloat16 rounds both operands
	// to BF16; formats without a backward pass, such as backend.Q8, need Packed. Routers
	// always compute in DType.
	Format backend.Format
	// Tables is the Format of the embedding, including lookups, and of the output head.
	Tables backend.Format
	// Packed stores weights in their format only, without an unpacked copy. This is for
	// inference and takes little more memory than the weights themselves. On a backend that
	// cannot pack backend.Native, such as CUDA, weights in that format stay unpacked.
	Packed bool
	// Block makes the blocks; if nil, they are Layers as Config describes them. Config also
	// describes everything around the blocks and must be valid.
	Block NewBlock
	// Uninitialized makes a model without values, for Load to fill: weights are not
	// initialized, and packed parameters are only ever stored in their packed form. Using
	// such a model before it is loaded panics.
	Uninitialized bool
}

func (o Options) validate() error {
	switch {
	case o.DType != backend.F32 && o.DType != backend.F64:
		return fmt.Errorf("model: Options.DType is %s, want F32 or F64", o.DType)
	case o.Precision != backend.F32 && o.Precision != backend.BF16:
		return fmt.Errorf("model: Options.Precision is %s, want BF16 or 0", o.Precision)
	case o.DType != backend.F32 && (o.Precision == backend.BF16 || o.RoundKV):
		return fmt.Errorf("model: Options.Precision is %s, RoundKV %t: these need DType F32, not %s",
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
			return fmt.Errorf("model: Options.%s: %s needs DType F32, not %s", f.field, f.format, o.DType)
		case f.format.ForwardOnly && !o.Packed:
			return fmt.Errorf("model: Options.%s: %s supports inference only: set Packed", f.field, f.format)
		}
	}
	return nil
}

// New creates a model with random weights. The weights of a parameter depend only on seed
// and on its name.
func New(b backend.Backend, cfg Config, seed uint64) (*Model, error) {
	return NewWith(b, cfg, seed, Options{})
}

// NewWith is like New, with options.
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

// Free releases the memory of the weights, of their gradients and of the RoPE tables.
func (m *Model) Free() {
	m.Params.Free()
	m.Angles.Cos.Free()
	m.Angles.Sin.Free()
}

// notFinite returns the reason why logits are not finite.
func (m *Model) notFinite() error {
	bad, err := tensor.NotFinite(m.Params.All())
	if err == nil && bad == "" {
		bad = "all weights are finite, so activations overflow"
	}
	return cmp.Or(err, errors.New(bad))
}

// Backend returns the device that holds the model.
func (m *Model) Backend() backend.Backend { return m.Params.Backend() }

// ActivationDType returns the dtype of the residual stream and of all activations.
func (m *Model) ActivationDType() backend.DType { return m.Options.activations() }

func (o Options) activations() backend.DType {
	if o.Precision == backend.BF16 {
		return backend.BF16
	}
	return o.DType
}

// cacheDType returns the dtype of the keys and values that attention reads in training.
func (o Options) cacheDType() backend.DType {
	if o.RoundKV {
		return backend.BF16
	}
	return o.activations()
}

// Absorbed reports whether MLA uses its weight-absorbed form.
func (m *Model) Absorbed() bool { return m.Options.Absorbed && m.Config.IsMLA() }

// NewBlock makes a block for layer l in the same way as the blocks of m.
func (m *Model) NewBlock(l int) Block {
	if m.Options.Block != nil {
		return m.Options.Block(m.Params, m.Config, l, m.Angles, m.Options)
	}
	return NewLayer(m.Params, m.Config, l, m.Angles, m.Options)
}

// Output is the result of a forward.
type Output struct {
	Hidden   tensor.Tensor   // [N, D]: the hidden states after the final norm, which the head reads
	Residual tensor.Tensor   // [N, D]: the residual stream before the final norm
	Scores   []tensor.Tensor // affinities [N, E] of each of Model.Gates; nil in a forward with caches
	model    *Model
}

// Forward runs the model over the packed sequences of a batch.
func (m *Model) Forward(s *tensor.Scope, b Batch) Output {
	return m.forward(s, b.IDs, b.Rows, nil, b.routing)
}

// forward runs the model over packed rows, with one cache per layer or without caches.
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

// ForwardBlock calls b.Forward for a block of m or of its Drafter. In training it
// recomputes the block in the backward pass if Recompute is set; in inference it frees the
// block's temporaries at once. scores is nil if rows continue a cache. ForwardBlock panics
// if b returns scores for more or fewer gates than it lists.
func (m *Model) ForwardBlock(
	b Block, h tensor.Tensor, rows attention.Rows, cache *attention.Cache,
) (out tensor.Tensor, scores []tensor.Tensor) {
	return m.forwardBlock(b, h, rows, cache, nil)
}

// forwardBlock is ForwardBlock with choices for the gates of b, which may be nil.
func (m *Model) forwardBlock(
	b Block, h tensor.Tensor, rows attention.Rows, cache *attention.Cache, choices []moe.Choice,
) (out tensor.Tensor, scores []tensor.Tensor) {
	s := h.Scope()
	forward := func(h tensor.Tensor) (tensor.Tensor, []tensor.Tensor) {
		done := choose(b, choices)
		out, scores := b.Forward(h, rows, cache)
		done()
		if n := len(b.Gates()); len(scores) != n {
			panic(fmt.Sprintf("model: %T.Forward returned the scores of %d gates, but Gates lists %d", b, len(scores), n))
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
				x.Keep() // the balance loss of an evaluation reads them
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

// LogProbs returns the log-probability [N] of each row's target at temperature 1, 0 for a
// negative target. It never keeps all logits in memory at once.
func (o Output) LogProbs(targets tensor.Tensor) tensor.Tensor {
	lp, _ := o.Score(targets, 1)
	return lp
}

// Score returns the log-probability [N] of each row's target and the entropy [N] of each
// row's distribution, at the given sampling temperature; 0 means 1.
func (o Output) Score(targets tensor.Tensor, temperature float64) (logProb, entropy tensor.Tensor) {
	return tensor.LogProbs(o.Hidden, o.model.Head, targets, o.inverse(temperature))
}

// BalanceLoss returns the sequence-wise balance loss summed over the MoE layers, of shape
// [1], weighted by alpha and averaged over the sequences of the global batch (DeepSeek-V3
// eq. 17–20). drafted are the gates of the Drafter, which its Loss returns. ok is false if
// there are no MoE layers.
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

// Gated holds the scores of a gate in a forward of N rows of S sequences.
type Gated struct {
	Gate     *moe.Gate
	Scores   tensor.Tensor // [N, E]: the gate's affinities
	SeqStart tensor.Tensor // [S+1] I32: first row of each sequence, followed by N
}

// Gates returns the gates of the MoE layers in order, and the layer of each.
func (m *Model) Gates() (gates []*moe.Gate, layers []int) {
	for l, b := range m.Blocks {
		for _, g := range b.Gates() {
			gates = append(gates, g)
			layers = append(layers, l)
		}
	}
	return gates, layers
}

// Linears returns the projections of all layers that may have adapters, see Block.Linears,
// without those of a Drafter.
func (m *Model) Linears() []*tensor.Linear {
	var all []*tensor.Linear
	for _, b := range m.Blocks {
		all = append(all, b.Linears()...)
	}
	return all
}

// Drafter predicts further tokens ahead of the model: the multi-token prediction modules of
// package mtp.
type Drafter interface {
	// Loss returns the drafter's training loss on a batch, of shape [1], and the gates that
	// it used, for Output.BalanceLoss.
	Loss(s *tensor.Scope, out Output, b Batch) (loss tensor.Tensor, gated []Gated)
	// Params returns the drafter's parameters, which are among those of the model.
	Params() []*tensor.Param
	// Gates returns the gates of the drafter's MoE layers, and the layer of each.
	Gates() (gates []*moe.Gate, layers []int)
	// Advance is called before each update with the number of tokens consumed, for settings
	// that depend on it. An error prevents the update.
	Advance(tokens int64) error
	// Settings returns what Loss depends on besides weights and tokens, in a form that
	// encoding/json can write. A resumed run must have the same.
	Settings() any
}
