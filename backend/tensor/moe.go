package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

func mustBe2D(op, name string, t Tensor) {
	if t.view.Rank != 2 {
		panic(fmt.Sprintf("tensor: %s: %s %v, want rank 2", op, name, t.Shape()))
	}
}

// Gate chooses k experts for each token by logits [N, E]. rule has the settings of the
// selection. bias [E] is optional and influences only the selection. Gate returns the
// weights [N, k] and the scores [N, E], both differentiable, and the expert ids [N, k] in
// ascending order.
func Gate(logits Tensor, bias *Param, k int, rule backend.MoEGate) (weight, scores, index Tensor) {
	mustBe2D("Gate", "logits", logits)
	s, n, e := scopeOf("Gate", logits), logits.Dim(0), logits.Dim(1)
	dt := logits.view.DType.Compute()
	weight, scores, index = s.alloc(dt, n, k), s.alloc(dt, n, e), s.alloc(backend.I32, n, k)
	op := rule
	op.Weight, op.Scores, op.Index, op.Logits = weight.view, scores.view, index.view, logits.View()
	if bias != nil {
		op.Bias = bias.value
	}
	s.do(&op)
	s.trackGate(logits, index, &weight, &scores, rule)
	return weight, scores, index
}

// GateAt is Gate with given experts, index [N, k], ascending: it returns their weights.
// chosen [N, k] has the experts that Gate would have chosen.
func GateAt(logits, index Tensor, bias *Param, rule backend.MoEGate) (weight, scores, chosen Tensor) {
	mustBe2D("GateAt", "index", index)
	s := scopeOf("GateAt", logits, index)
	iv := index.View()
	was := s.recording
	s.recording = false
	_, scores, chosen = Gate(logits, bias, iv.Shape[1], rule)
	s.recording = was
	weight = s.alloc(scores.view.DType, iv.Shape[:2]...)
	s.do(&backend.MoEWeights{Weight: weight.view, Scores: scores.view, Index: iv, Normalize: rule.Normalize,
		Scale: rule.Scale})
	s.trackGate(logits, index, &weight, &scores, rule)
	return weight, scores, chosen
}

// trackGate puts the weights and scores of a gate that uses the experts index on the
// tape.
func (s *Scope) trackGate(logits, index Tensor, weight, scores *Tensor, rule backend.MoEGate) {
	if !s.needs(logits) {
		return
	}
	sv, iv := scores.view, index.view
	s.track([]*Tensor{weight, scores}, []Tensor{*scores, index}, func(dy []gradient) {
		g := s.newGradient(logits)
		grad := backend.MoEGateGrad{DLogits: g.View, Scores: sv, Index: iv, Scoring: rule.Scoring,
			Normalize: rule.Normalize, Scale: rule.Scale}
		for i, dst := range []*backend.View{&grad.DWeight, &grad.DScores} {
			if dy[i].st != nil {
				d := s.contiguous(dy[i])
				defer d.release()
				*dst = d.View
			}
		}
		s.do(&grad)
		s.give(logits, g)
	})
}

// Routing is the order in which an MoE layer dispatches tokens to experts, see
// backend.MoERoute.
type Routing struct {
	Offsets, Perm, Inverse Tensor // [E+1], [N·K], [N, K]
}

// Route sorts the assignments index [N, K] of tokens to e experts by expert.
func Route(index Tensor, e int) Routing {
	mustBe2D("Route", "index", index)
	s, n, k := scopeOf("Route", index), index.Dim(0), index.Dim(1)
	r := Routing{s.alloc(backend.I32, e+1), s.alloc(backend.I32, n*k), s.alloc(backend.I32, n, k)}
	s.do(&backend.MoERoute{Offsets: r.Offsets.view, Perm: r.Perm.view, Inverse: r.Inverse.view, Index: index.View()})
	return r
}

// Dispatch copies each token of x [N, D] to the slots of its experts, [N·K, D].
func Dispatch(x Tensor, r Routing) Tensor {
	mustBe2D("Dispatch", "x", x)
	s := scopeOf("Dispatch", x, r.Perm, r.Inverse)
	y := s.alloc(x.view.DType, r.Perm.Len(), x.Dim(1))
	s.do(&backend.MoEDispatch{Y: y.view, X: x.View(), Perm: r.Perm.View()})
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{r.Inverse}, func(dy []gradient) {
			g := s.newGradient(x)
			d := s.contiguous(dy[0])
			s.do(&backend.MoECombine{Y: g.View, X: d.View, Inverse: r.Inverse.view})
			d.release()
			s.give(x, g)
		})
	}
	return y
}

// Combine returns the sum [N, D] of the experts' outputs x [N·K, D] of each token,
// weighted by weight [N, K], in ascending expert id.
func Combine(x, weight Tensor, r Routing) Tensor {
	mustBe2D("Combine", "x", x)
	mustBe2D("Combine", "weight", weight)
	s := scopeOf("Combine", x, weight, r.Inverse)
	y := s.alloc(x.view.DType, weight.Dim(0), x.Dim(1))
	s.do(&backend.MoECombine{Y: y.view, X: x.View(), Weight: weight.View(), Inverse: r.Inverse.View()})
	if s.needs(x, weight) {
		s.track([]*Tensor{&y}, []Tensor{x, weight, r.Inverse}, func(dy []gradient) {
			dx, dw := s.newGradient(x), s.newGradient(weight)
			d := s.contiguous(dy[0])
			s.do(&backend.MoECombineGrad{DX: dx.View, DWeight: dw.View, DY: d.View, X: x.view, Weight: weight.view,
				Inverse: r.Inverse.view})
			d.release()
			s.give(x, dx)
			s.give(weight, dw)
		})
	}
	return y
}

// GroupedLinear multiplies each group of rows of x [M, in] by one matrix of the stack w
// [E, out, in]; the result is [M, out]. offsets [E+1] has the first row of each group.
func GroupedLinear(x Tensor, w *Param, offsets Tensor) Tensor {
	s := scopeOf("GroupedLinear", x, offsets)
	mustFit("GroupedLinear", x, w, 3)
	y := s.alloc(x.view.DType, x.Dim(0), w.value.Shape[1])
	s.do(&backend.GroupedMatMul{C: y.view, A: x.View(), B: w.matrix(s), Offsets: offsets.View()})
	train := s.recording && w.Trainable
	if !s.needs(x) && !train {
		return y
	}
	saved := []Tensor{offsets}
	if train { // only the weight gradient reads x
		saved = append(saved, x)
	}
	s.track([]*Tensor{&y}, saved, func(dy []gradient) {
		if x.val != nil {
			b, release := w.transposed(s)
			g := s.newGradient(x)
			s.do(&backend.GroupedMatMul{C: g.View, A: dy[0].View, B: b, Offsets: offsets.view})
			release()
			s.give(x, g)
		}
		if train {
			dyv := dy[0].View
			s.weightGrad(w, dy[0], saved, func(dw backend.View) backend.Op {
				return &backend.GroupedOuter{C: dw, A: dyv, B: x.view, Offsets: offsets.view, Format: w.Format}
			})
		}
	})
	return y
}

// SequenceBalance returns the sequence-wise balance loss, of shape [1], of scores [N, E]
// for the sequences that seqStart [S+1] delimits; see backend.SequenceBalance.
func SequenceBalance(scores, seqStart Tensor, k int, coef float64) Tensor {
	s := scopeOf("SequenceBalance", scores, seqStart)
	y := s.alloc(scores.view.DType, 1)
	s.do(&backend.SequenceBalance{Loss: y.view, Scores: scores.View(), SeqStart: seqStart.View(), K: k, Coef: coef})
	if s.needs(scores) {
		s.track([]*Tensor{&y}, []Tensor{scores, seqStart}, func(dy []gradient) {
			g := s.newGradient(scores)
			s.do(&backend.SequenceBalanceGrad{DScores: g.View, DLoss: dy[0].View, Scores: scores.view,
				SeqStart: seqStart.view, K: k, Coef: coef})
			s.give(scores, g)
		})
	}
	return y
}
