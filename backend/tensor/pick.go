package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// GatherLast picks elements of each row of x [N, V]: one if index is [N] I32, K if it is
// [N, K]. The result has the shape of index and is F32 if x is BF16. A negative index
// gives 0 and no gradient.
func GatherLast(x, index Tensor) Tensor {
	mustBe2D("GatherLast", "x", x)
	scopeOf("GatherLast", x, index)
	if r := index.view.Rank; r < 1 || r > 2 || index.Dim(0) != x.Dim(0) {
		panic(fmt.Sprintf("tensor: GatherLast: x %v, index %v: want index [%d] or [%d K]", x.Shape(), index.Shape(),
			x.Dim(0), x.Dim(0)))
	}
	x = x.Cast(x.DType().Compute())
	s := scopeOf("GatherLast", x, index)
	y := s.alloc(x.view.DType, index.Shape()...)
	s.do(&backend.GatherLast{Y: columns(y.view), X: x.View(), Index: columns(index.View())})
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{index}, func(dy []gradient) { s.scatterLast(x, dy[0], columns(index.view)) })
	}
	return y
}

// columns returns a vector [N] as [N, 1], and a matrix unchanged.
func columns(v backend.View) backend.View {
	if v.Rank == 1 {
		return v.Unsqueeze(1)
	}
	return v
}

// scatterLast adds dy, [N] or [N, K], to the gradient of x [N, V] at the columns index
// [N, K].
func (s *Scope) scatterLast(x Tensor, dy gradient, index backend.View) {
	dt := x.view.DType.Compute()
	g := s.newGradientAs(x, dt)
	s.do(&backend.Fill{Dst: g.View})
	d := gradient{View: columns(dy.View)}
	if dy.DType != dt {
		d = s.newGradientAs(Tensor{view: d.View}, dt)
		s.do(&backend.Copy{Dst: d.View, Src: columns(dy.View)})
	}
	s.do(&backend.ScatterLast{Y: g.View, X: d.View, Index: index})
	d.release()
	s.give(x, g)
}

// TopK returns the k largest elements of each row of x [N, V] in descending order, [N, k]
// in the dtype of x, and their columns, [N, k] I32. Ties go to the lowest column. NaN
// counts as −Inf. The values are differentiable.
func TopK(x Tensor, k int) (values, index Tensor) {
	mustBe2D("TopK", "x", x)
	s := scopeOf("TopK", x)
	if k < 1 || k > x.Dim(1) {
		panic(fmt.Sprintf("tensor: TopK: k %d, x %v: want 1 to %d", k, x.Shape(), x.Dim(1)))
	}
	values, index = s.alloc(x.view.DType, x.Dim(0), k), s.alloc(backend.I32, x.Dim(0), k)
	s.do(&backend.TopK{Values: values.view, Index: index.view, X: x.View()})
	if s.needs(x) {
		iv := index.view
		s.track([]*Tensor{&values}, []Tensor{index}, func(dy []gradient) { s.scatterLast(x, dy[0], iv) })
	}
	return values, index
}

// MaxLast returns the maximum over the last dimension, which it removes, in the dtype of
// x. The gradient goes to the first maximum. The maximum of a row with NaN is NaN.
func MaxLast(x Tensor) Tensor {
	lead := x.Shape()
	x = rows("MaxLast", x)
	s := x.Scope()
	n, v := x.Dim(0), x.Dim(1)
	if v == 0 {
		panic(fmt.Sprintf("tensor: MaxLast of %v: no elements to take the maximum of", lead))
	}
	y := s.alloc(x.view.DType, n)
	s.do(&backend.Reduce{Y: y.view, X: x.View(), Fn: backend.ReduceMax})
	if s.needs(x) {
		first := s.alloc(backend.I32, n, 1)
		s.do(&backend.TopK{Index: first.view, X: x.View()})
		s.track([]*Tensor{&y}, []Tensor{first}, func(dy []gradient) { s.scatterLast(x, dy[0], first.view) })
	}
	return y.Reshape(lead[:len(lead)-1]...)
}
