package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// RMSNorm is x·w/sqrt(mean(x²)+eps) row by row, for x [N, D] and w [D].
func RMSNorm(x Tensor, w *Param, eps float64) Tensor {
	s := x.s
	y := s.alloc(x.view.DType, x.Shape()...)
	rstd := s.alloc(x.view.DType, x.Dim(0))
	s.do(&backend.RMSNorm{Y: y.view, Rstd: rstd.view, X: x.View(), W: w.value, Eps: eps})
	if !s.needs(x) && !(s.recording && w.Trainable) {
		return y
	}
	s.track([]*Tensor{&y}, []Tensor{x, rstd}, func(dy []gradient) {
		g := s.newGradient(x)
		op := &backend.RMSNormGrad{DX: g.View, X: x.view, W: w.value, Rstd: rstd.view}
		if w.Trainable {
			op.DW, _ = s.gradOf(w)
		}
		d := s.contiguous(dy[0])
		op.DY = d.View
		s.do(op)
		d.release()
		s.give(x, g)
	})
	return y
}

// release gives up g's reference.
func (g gradient) release() {
	if g.st != nil {
		g.st.release()
	}
}

// SwiGLU is SiLU(gate)·up, for equal shapes [N, F].
func SwiGLU(gate, up Tensor) Tensor {
	s := gate.s
	y := s.alloc(gate.view.DType, gate.Shape()...)
	s.do(&backend.SwiGLU{Y: y.view, Gate: gate.View(), Up: up.View()})
	if s.needs(gate, up) {
		s.track([]*Tensor{&y}, []Tensor{gate, up}, func(dy []gradient) {
			dg, du := s.newGradient(gate), s.newGradient(up)
			d := s.contiguous(dy[0])
			s.do(&backend.SwiGLUGrad{DGate: dg.View, DUp: du.View, DY: d.View, Gate: gate.view, Up: up.view})
			d.release()
			s.give(gate, dg)
			s.give(up, du)
		})
	}
	return y
}

// Angles are the cosines and sines of rotary embedding, [P, R/2] each.
type Angles struct{ Cos, Sin *Param }

// RoPE rotates x [N, H, R] by the angles of each token's position, see
// backend.RoPE.
func RoPE(x, pos Tensor, a Angles, interleaved bool) Tensor {
	s := x.s
	y := s.alloc(x.view.DType, x.Shape()...)
	op := backend.RoPE{Y: y.view, X: x.View(), Pos: pos.View(), Cos: a.Cos.value, Sin: a.Sin.value, Interleaved: interleaved}
	s.do(&op)
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{pos}, func(dy []gradient) {
			g := s.newGradient(x)
			d := s.contiguous(dy[0])
			s.do(&backend.RoPE{Y: g.View, X: d.View, Pos: pos.view, Cos: a.Cos.value, Sin: a.Sin.value, Interleaved: interleaved, Inverse: true})
			d.release()
			s.give(x, g)
		})
	}
	return y
}

// Attention is causal attention of q [N, H, Dk] over keys k [R, G, Dk] and
// values v [R, G, Dv]: row i sees the length[i] key rows from start[i] on. See
// backend.Attention. The gradient needs packed sequences.
func Attention(q, k, v, start, length Tensor, scale float64) Tensor {
	s := q.s
	if q.view.Rank != 3 || k.view.Rank != 3 || v.view.Rank != 3 {
		panic(fmt.Sprintf("tensor: Attention: q %v, k %v, v %v: want rank 3", q.Shape(), k.Shape(), v.Shape()))
	}
	o := s.alloc(q.view.DType, q.Dim(0), q.Dim(1), v.Dim(2))
	lse := s.alloc(q.view.DType, q.Dim(0), q.Dim(1))
	s.do(&backend.Attention{O: o.view, LSE: lse.view, Q: q.View(), K: k.View(), V: v.View(), Start: start.View(), Len: length.View(), Scale: scale})
	if s.needs(q, k, v) {
		s.track([]*Tensor{&o}, []Tensor{q, k, v, o, lse, start, length}, func(dy []gradient) {
			dq, dk, dv := s.newGradient(q), s.newGradient(k), s.newGradient(v)
			d := s.contiguous(dy[0])
			s.do(&backend.AttentionGrad{
				DQ: dq.View, DK: dk.View, DV: dv.View, DO: d.View, O: o.view, LSE: lse.view,
				Q: q.view, K: k.view, V: v.view, Start: start.view, Len: length.view, Scale: scale,
			})
			d.release()
			s.give(q, dq)
			s.give(k, dk)
			s.give(v, dv)
		})
	}
	return o
}
