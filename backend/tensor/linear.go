package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// Linear multiplies by a parameter: y = x·Wᵀ + Bias, plus the low-rank term of Adapter. W
// may be frozen or packed. The same holds for stacks of experts, in GroupedLinear, and
// for the output head, in LogProbs and Logits, but those take no adapter. NewLinear makes
// a Linear with new parameters.
type Linear struct {
	W       *Param   // [out, in]
	Bias    *Param   // [out]; optional
	Adapter *LowRank // optional
}

// NewLinear creates a Linear with the parameters name.weight [out, in], which is normal,
// and, if bias is set, name.bias [out], which is 0. A dimension below 1 panics;
// Params.Err reports a failure of the device.
func NewLinear(ps *Params, name string, out, in int, bias bool) *Linear {
	l := &Linear{W: ps.Matrix(name+".weight", out, in)}
	if bias {
		l.Bias = ps.Bias(name+".bias", out)
	}
	return l
}

// LowRank is a LoRA adapter (Hu et al. 2021): y += Scale·x·Aᵀ·Bᵀ.
type LowRank struct {
	A     *Param // [r, in]
	B     *Param // [out, r]
	Scale float64
}

// Forward maps x [N, in] to [N, out], in the dtype of x.
func (l *Linear) Forward(x Tensor) Tensor { return l.ForwardAs(x, x.view.DType) }

// ForwardAs is Forward with a result of dtype dt: the dtype of x, or F32 for BF16
// activations, for example for scores.
func (l *Linear) ForwardAs(x Tensor, dt backend.DType) Tensor {
	y := product("Linear", x, l.W, dt)
	if l.Bias != nil {
		y = Add(y, l.Bias.In(y.s))
	}
	if a := l.Adapter; a != nil {
		y = Add(y, Scale(product("Linear", product("Linear", x, a.A, dt), a.B, dt), a.Scale))
	}
	return y
}

// mustFit panics unless x is [N, in] for w [..., out, in] of the given rank.
func mustFit(op string, x Tensor, w *Param, rank int) {
	if w.value.Rank != rank {
		panic(fmt.Sprintf("tensor: %s: x %v, %s %v: want a parameter of rank %d", op, x.Shape(), w.Name, w.Shape(), rank))
	}
	if in := w.value.Dim(-1); x.view.Rank != 2 || x.view.Shape[1] != in {
		panic(fmt.Sprintf("tensor: %s: x %v, %s %v: want x [N %d]", op, x.Shape(), w.Name, w.Shape(), in))
	}
}

// product returns x·wᵀ for x [N, in] and w [out, in], with elements of dt.
func product(op string, x Tensor, w *Param, dt backend.DType) Tensor {
	s := scopeOf(op, x)
	mustFit(op, x, w, 2)
	y := s.alloc(dt, x.Dim(0), w.value.Shape[0])
	s.do(&backend.MatMul{C: y.view, A: x.View(), B: w.matrix(s)})
	train := s.recording && w.Trainable
	if !s.needs(x) && !train {
		return y
	}
	var saved []Tensor
	if train { // only the weight gradient reads x
		saved = []Tensor{x}
	}
	s.track([]*Tensor{&y}, saved, func(dy []gradient) {
		if x.val != nil {
			b, release := w.transposed(s)
			s.accumulate(x, func(g backend.View, add bool) backend.Op {
				return &backend.MatMul{C: g, A: dy[0].View, B: b, Accumulate: add}
			})
			release()
		}
		if train {
			dyv := dy[0].View
			s.weightGrad(w, dy[0], saved, func(dw backend.View) backend.Op {
				return &backend.MatMul{C: dw, A: dyv.T(), B: backend.Matrix{Data: x.view, Format: w.Format}, Accumulate: true}
			})
		}
	})
	return y
}

// Embedding looks up rows of w [V, D] by ids [N]: the result is [N, D]. dt is the dtype
// of w, or BF16. The values are those that products with w use, rounded to its format,
// which must be Native or BFloat16 unless w is packed.
func Embedding(w *Param, ids Tensor, dt backend.DType) Tensor {
	s := scopeOf("Embedding", ids)
	if w.value.Rank != 2 {
		panic(fmt.Sprintf("tensor: Embedding: %s %v: want rank 2", w.Name, w.Shape()))
	}
	y := s.alloc(dt, ids.Len(), w.value.Shape[1])
	if w.Packed() {
		s.do(&backend.Unpack{Dst: y.view.T(), Src: w.matrix(s), Index: ids.View()})
		return y
	}
	switch {
	case w.Format != backend.Native && w.Format != backend.BFloat16:
		panic(fmt.Sprintf("tensor: Embedding: %s in format %s: want it packed", w.Name, w.Format))
	case w.Format == backend.BFloat16 && dt != backend.BF16:
		half := s.alloc(backend.BF16, y.view.Dims()...)
		s.do(&backend.Gather{Y: half.view, X: w.Value(), Index: ids.View()})
		s.do(&backend.Copy{Dst: y.view, Src: half.view})
	default:
		s.do(&backend.Gather{Y: y.view, X: w.Value(), Index: ids.View()})
	}
	if s.recording && w.Trainable {
		s.track([]*Tensor{&y}, []Tensor{ids}, func(dy []gradient) {
			if g, ok := s.gradOf(w); ok {
				s.do(&backend.Scatter{Y: g, X: dy[0].View, Index: ids.view, Add: true})
			}
		})
	}
	return y
}

// GatherRows picks rows of x [R, D] by index [N]: the result is [N, D].
func GatherRows(x, index Tensor) Tensor {
	s := scopeOf("GatherRows", x, index)
	y := s.alloc(x.view.DType, index.Len(), x.Dim(1))
	s.do(&backend.Gather{Y: y.view, X: x.View(), Index: index.View()})
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{index}, func(dy []gradient) {
			g := s.newGradientAs(x, x.view.DType.Compute())
			s.do(&backend.Fill{Dst: g.View})
			s.do(&backend.Scatter{Y: g.View, X: dy[0].View, Index: index.view, Add: true})
			s.give(x, g)
		})
	}
	return y
}
