package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// rows returns x [..., V] as a matrix [N, V] of rows, copied if necessary.
func rows(op string, x Tensor) Tensor {
	scopeOf(op, x)
	if x.view.Rank == 0 {
		panic(fmt.Sprintf("tensor: %s of a scalar", op))
	}
	if x.view.Rank == 2 {
		return x
	}
	v := x.Dim(-1)
	n := 1
	for _, d := range x.Shape()[:x.Rank()-1] {
		n *= d
	}
	return x.Contiguous().Reshape(n, v)
}

// Softmax returns exp(x)/Σ exp(x) over the last dimension, in the dtype of x.
func Softmax(x Tensor) Tensor {
	s := scopeOf("Softmax", x)
	if x.view.Rank == 0 {
		panic("tensor: Softmax of a scalar")
	}
	y := s.allocLike(x.view)
	s.do(&backend.Softmax{Y: y.view, X: x.View()})
	if s.needs(x) {
		yv := y.view
		s.track([]*Tensor{&y}, []Tensor{y}, func(dy []gradient) { // y·(dy − Σ y·dy)
			g := s.newGradient(x)
			s.withTemps(yv, func(t temps) {
				product := t.next()
				t.binary(backend.Mul, product, yv, dy[0].View)
				sum := t.perRow()
				t.do(&backend.Reduce{Y: sum, X: product, Fn: backend.Sum})
				t.binary(backend.Sub, product, dy[0].View, t.repeated(sum))
				t.binary(backend.Mul, g.View, product, yv)
			})
			s.give(x, g)
		})
	}
	return y
}

// perRow returns a temporary without the last dimension.
func (t temps) perRow() backend.View {
	lead := t.like.Dims()[:t.like.Rank-1]
	t.like = backend.NewView(nil, t.like.DType, lead...)
	return t.next()
}

// repeated returns v, which has the shape of perRow, repeated along the last dimension.
func (t temps) repeated(v backend.View) backend.View {
	return v.Unsqueeze(v.Rank).BroadcastTo(t.like.Dims()...)
}

// LogSumExp returns ln Σ exp(x) over the last dimension, which it removes. The result is
// F32 if x is BF16.
func LogSumExp(x Tensor) Tensor {
	lead := x.Shape()
	x = rows("LogSumExp", x)
	if x.view.Strides[1] != 1 && x.view.Shape[1] > 1 {
		x = x.Contiguous()
	}
	s := x.Scope()
	y := s.alloc(x.view.DType.Compute(), x.Dim(0))
	s.do(&backend.LogSumExp{LSE: y.view, X: x.View(), InvTemp: 1})
	if s.needs(x) {
		yv := y.view
		s.track([]*Tensor{&y}, []Tensor{x, y}, func(dy []gradient) { // dy·exp(x − y)
			g := s.newGradient(x)
			s.probabilities(g.View, x.view, yv, dy[0].View)
			s.give(x, g)
		})
	}
	return y.Reshape(lead[:len(lead)-1]...)
}

// probabilities computes p = k·exp(x − lse) for x [N, V] and vectors lse and k [N].
func (s *Scope) probabilities(p, x, lse, k backend.View) {
	s.withTemps(x, func(t temps) {
		e := p
		if p.DType != x.DType.Compute() { // BF16 is rounded once
			e = t.next()
		}
		t.binary(backend.Sub, e, x, t.repeated(lse))
		t.unary(backend.Exp, e, e)
		t.binary(backend.Mul, p, e, t.repeated(k))
	})
}

// LogSoftmax returns x − ln Σ exp(x) over the last dimension. The result is F32 if x is
// BF16.
func LogSoftmax(x Tensor) Tensor {
	scopeOf("LogSoftmax", x)
	if x.view.Rank == 0 {
		panic("tensor: LogSoftmax of a scalar")
	}
	lse := LogSumExp(x)
	return Sub(x.Cast(x.DType().Compute()), lse.Reshape(append(lse.Shape(), 1)...))
}

// LogSoftmaxAt returns the elements index of LogSoftmax(x), as GatherLast picks them,
// without storing the others. x is [N, V].
func LogSoftmaxAt(x, index Tensor) Tensor {
	lse, picked := LogSumExp(x), GatherLast(x, index)
	if index.view.Rank > 1 {
		lse = lse.Reshape(x.Dim(0), 1)
	}
	return Sub(picked, lse)
}
