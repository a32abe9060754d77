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

// MTP is the list of multi-token prediction modules of a model (DeepSeek-V3 §2.2).
type MTP struct {
	Modules []*Module
	// Lambda is the weight of the loss; 0 turns it off.
	Lambda float64
	// LambdaSchedule, unless nil, sets Lambda before each update, from the number of
	// tokens consumed. DeepSeek-V3's is V3LambdaSchedule.
	LambdaSchedule *LambdaSchedule
	m              *model.Model
	params         []*tensor.Param
}

// Advance sets Lambda from LambdaSchedule, if there is one, for the number of tokens
// consumed so far. train.Trainer calls it before each update. A weight that is negative or
// not finite is an error.
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

// weight checks that a weight of the loss is finite and not negative.
func weight(name string, v float64) error {
	if !(v >= 0) || math.IsInf(v, 0) {
		return fmt.Errorf("mtp: %s is %g, want a finite number, 0 or more", name, v)
	}
	return nil
}

// Settings returns what the loss depends on besides the model's weights. A resumed run must
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

// Module is the module of depth k, which predicts the token k+1 places ahead.
type Module struct {
	ENorm  *tensor.Param  // [D], norm of the next token's embedding
	HNorm  *tensor.Param  // [D], norm of the previous depth's hidden state
	EHProj *tensor.Linear // [D, 2D]: the embedding's half comes first, as in checkpoints
	Block  model.Block
	Norm   *tensor.Param // [D], norm before the shared head
}

// New creates the num_nextn_predict_layers modules of m's config and adds their parameters
// to m.Params. Their names are model.layers.<L>.*, where L continues after the model's last
// layer. Lambda starts at 0.3, as in V3.
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

// Shapes: T rows of a sequence, D hidden, k depth

// Forward computes the hidden states of depth k from the hidden states h [N, D] of depth
// k−1 and the ids [N] of the tokens k places ahead. scores are the affinities [N, E] of the
// block's gates. If m.Recompute is set, the block is recomputed in the backward pass.
func (mod *Module) Forward(
	m *model.Model, h, ids tensor.Tensor, rows attention.Rows,
) (out tensor.Tensor, scores []tensor.Tensor) {
	eps := m.Config.RMSNormEps
	e := tensor.RMSNorm(tensor.Embedding(m.Embed, ids, m.ActivationDType()), mod.ENorm, eps)
	x := mod.EHProj.Forward(tensor.Concat(1, e, tensor.RMSNorm(h, mod.HNorm, eps))) // [N,D]
	return m.ForwardBlock(mod.Block, x, rows, nil)
}

// Loss is L_MTP = λ/D·Σ_k L^k (DeepSeek-V3 eq. 24–25), of shape [1]. The loss of a target
// has the weight that the target has in the batch. Depth k uses the first T−k rows of each
// sequence of T rows and never crosses sequences. Depth 1 reads the residual stream before
// the final norm.
//
// gated are the gates of the modules, over those T−k rows, for their balance loss, which λ
// does not weigh. If λ is 0, gated is empty.
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

// Params returns the parameters of the modules, which are among the model's too.
func (d *MTP) Params() []*tensor.Param { return d.params }

// Gates returns the gates of the modules and the layer of each.
func (d *MTP) Gates() (gates []*moe.Gate, layers []int) {
	for k, mod := range d.Modules {
		for _, g := range mod.Block.Gates() {
			gates = append(gates, g)
			layers = append(layers, d.m.Config.NumHiddenLayers+k)
		}
	}
	return gates, layers
}
