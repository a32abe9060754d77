package mtp

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/moe"
)

// MTP are the modules of a model (DeepSeek-V3 §2.2).
type MTP struct {
	Modules []*Module
	// Lambda weighs the loss; 0 turns it off.
	Lambda float64
	// LambdaSchedule, unless nil, sets Lambda before each update, from the number of
	// tokens consumed. DeepSeek-V3's is V3LambdaSchedule.
	LambdaSchedule *LambdaSchedule
	m              *model.Model
	params         []*tensor.Param
}

// Advance tells the modules how many tokens were consumed, before each update:
// LambdaSchedule then sets Lambda. A weight that is negative or not finite is an
// error. train.Trainer calls it.
func (d *MTP) Advance(tokens int64) error {
	sched := d.LambdaSchedule
	if sched == nil {
		return weight("MTP.Lambda", d.Lambda)
	}
	err := errors.Join(weight("MTP.LambdaSchedule.Early", sched.Early), weight("MTP.LambdaSchedule.Late", sched.Late))
	if err != nil {
		return err
	}
	d.Lambda = sched.At(tokens)
	return nil
}

// weight checks a weight of the loss.
func weight(name string, v float64) error {
	if !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("mtp: %s is %g, want a finite number, 0 or more", name, v)
	}
	return nil
}

// Settings are what decides the loss beside the weights: a resumed run must
// have the same.
func (d *MTP) Settings() any {
	if d.LambdaSchedule != nil {
		return struct {
			Schedule LambdaSchedule `json:"lambda_schedule"`
		}{*d.LambdaSchedule}
	}
	return struct {
		Lambda float64 `json:"lambda"`
	}{d.Lambda}
}

// Module predicts, at depth k, the token k+1 places ahead.
type Module struct {
	ENorm  *tensor.Param  // [D], of the next token's embedding
	HNorm  *tensor.Param  // [D], of the previous depth's hidden state
	EHProj *tensor.Linear // [D, 2D]: embedding half first, as checkpoints have it
	Block  model.Block
	Norm   *tensor.Param // [D], before the shared head
}

// New creates the num_nextn_predict_layers modules of m's config and registers
// their parameters with the model's, as model.layers.<L>.* from the last layer
// on. Lambda starts at V3's 0.3.
func New(m *model.Model) (*MTP, error) {
	if m.Config.NumNextNPredictLayers < 1 {
		return nil, fmt.Errorf("mtp: New: num_nextn_predict_layers is %d, want at least 1", m.Config.NumNextNPredictLayers)
	}
	d := &MTP{Lambda: 0.3, m: m}
	ps, hidden := m.Params, m.Config.HiddenSize
	before := len(ps.All())
	for k := range m.Config.NumNextNPredictLayers {
		l := m.Config.NumHiddenLayers + k
		prefix := fmt.Sprintf("model.layers.%d", l)
		mod := &Module{
			ENorm: ps.Gain(prefix+".enorm.weight", hidden),
			HNorm: ps.Gain(prefix+".hnorm.weight", hidden),
		}
		mod.EHProj = tensor.NewLinear(ps, prefix+".eh_proj", hidden, 2*hidden, false)
		mod.EHProj.W.Kind = tensor.KindJoin
		mod.Block = m.NewBlock(l)
		mod.Norm = ps.Gain(prefix+".shared_head.norm.weight", hidden)
		d.Modules = append(d.Modules, mod)
	}
	d.params = slices.Clone(ps.All()[before:])
	return d, ps.Err()
}

// T rows of a sequence, D hidden, k depth

// Forward advances one depth: from the hidden states h [N, D] of depth k−1 and
// the ids [N] of the tokens k places ahead to the hidden states of depth k.
// scores are the affinities [N, E] of the block's gates. The block is recomputed in the
// backward pass if m.Recompute is set.
func (mod *Module) Forward(
	m *model.Model, h, ids tensor.Tensor, rows attention.Rows,
) (out tensor.Tensor, scores []tensor.Tensor) {
	eps := m.Config.RMSNormEps
	e := tensor.RMSNorm(tensor.Embedding(m.Embed, ids, m.ActivationDType()), mod.ENorm, eps)
	x := mod.EHProj.Forward(tensor.Concat(1, e, tensor.RMSNorm(h, mod.HNorm, eps))) // [N,D]
	return m.ForwardBlock(mod.Block, x, rows, nil)
}

// Loss is L_MTP = λ/D·Σ_k L^k (DeepSeek-V3 eq. 24–25), of shape [1], where the
// loss of a target keeps the weight it has in the batch. Depth k sees the
// first T−k rows of each sequence of T; nothing crosses sequences. The first
// depth reads the residual stream before the final norm.
//
// gated are the gates of the modules, over those T−k rows; λ does not weigh their
// balance loss. Where λ is 0 there are none.
func (d *MTP) Loss(s *tensor.Scope, out model.Output, b model.Batch) (loss tensor.Tensor, gated []model.Gated) {
	total := s.Full(d.m.Params.DType(), 0, 1)
	h := out.Residual
	prev := lengths(b.Host)
	for k, mod := range d.Modules {
		a := align(b, k+1, prev)
		if len(a.ids) == 0 {
			break
		}
		n := len(a.ids)
		h = tensor.GatherRows(h, s.Ints(a.keep, n))
		var scores []tensor.Tensor
		h, scores = mod.Forward(d.m, h, s.Ints(a.ids, n), attention.Pack(s, a.lengths))
		if len(scores) > 0 && d.Lambda != 0 {
			starts := s.Ints(a.starts(), len(a.lengths)+1)
			for i, g := range mod.Block.Gates() {
				gated = append(gated, model.Gated{Gate: g, Scores: scores[i], SeqStart: starts})
			}
		}
		lp, _ := tensor.LogProbs(tensor.RMSNorm(h, mod.Norm, d.m.Config.RMSNormEps), d.m.Head, s.Ints(a.targets, n), 1)
		w := s.Floats(d.m.Params.DType(), a.weight, n)
		total = tensor.Sub(total, tensor.Sum(tensor.Mul(w, lp)))
		prev = a.lengths
	}
	return tensor.Scale(total, d.Lambda/float64(len(d.Modules))), gated
}

// Params lists the parameters of the modules, which are the model's too.
func (d *MTP) Params() []*tensor.Param { return d.params }

// Gates lists the gates of the modules.
func (d *MTP) Gates() (gates []*moe.Gate, layers []int) {
	for k, mod := range d.Modules {
		for _, g := range mod.Block.Gates() {
			gates = append(gates, g)
			layers = append(layers, d.m.Config.NumHiddenLayers+k)
		}
	}
	return gates, layers
}
