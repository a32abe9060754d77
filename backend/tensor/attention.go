package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// Attention returns the causal attention of q [N, H, Dk] over keys k [R, G, Dk] and
// values v [R, G, Dv]: row i attends to the length[i] key rows that begin at start[i].
// See backend.Attention. For the backward pass, rows with the same start must be
// adjacent. The result has the dtype of q.
func Attention(q, k, v, start, length Tensor, scale float64) Tensor {
	s := scopeOf("Attention", q, k, v, start, length)
	if q.view.Rank != 3 || k.view.Rank != 3 || v.view.Rank != 3 {
		panic(fmt.Sprintf("tensor: Attention: q %v, k %v, v %v: want rank 3", q.Shape(), k.Shape(), v.Shape()))
	}
	o := s.alloc(q.view.DType, q.Dim(0), q.Dim(1), v.Dim(2))
	lse := s.alloc(q.view.DType.Compute(), q.Dim(0), q.Dim(1))
	s.do(&backend.Attention{O: o.view, LSE: lse.view, Q: q.View(), K: k.View(), V: v.View(), Start: start.View(),
		Len: length.View(), Scale: scale})
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
