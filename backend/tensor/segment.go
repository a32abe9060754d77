package tensor

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
)

// SegmentSum sums the rows of each segment of x [N, ...]: segment i has the rows from
// offsets[i] to offsets[i+1]. offsets [S+1] I32 are ascending and at most N. The result
// is [S, ...], F32 if x is BF16, and 0 for an empty segment. Rows are added in ascending
// order; rows outside all segments are not used.
func SegmentSum(x, offsets Tensor) Tensor {
	scopeOf("SegmentSum", x, offsets)
	if x.view.Rank == 0 || offsets.view.Rank != 1 || offsets.Dim(0) < 1 {
		panic(fmt.Sprintf("tensor: SegmentSum: x %v, offsets %v: want x [N ...], offsets [S+1]", x.Shape(), offsets.Shape()))
	}
	n, segments := x.Dim(0), offsets.Dim(0)-1
	rest, d := x.Shape()[1:], 1
	for _, k := range rest {
		d *= k
	}
	x = x.Contiguous().Reshape(n, d)
	s := scopeOf("SegmentSum", x, offsets)
	ones := s.Full(x.view.DType, 1, n, 1)
	y := s.alloc(x.view.DType.Compute(), segments, d)
	s.do(&backend.Fill{Dst: y.view})
	if s.err == nil {
		s.do(&backend.GroupedOuter{C: y.view.Unsqueeze(2), A: x.View(), B: ones.view, Offsets: offsets.View()})
	}
	if s.needs(x) {
		s.track([]*Tensor{&y}, []Tensor{offsets, ones}, func(dy []gradient) {
			g := s.newGradient(x)
			s.do(&backend.Fill{Dst: g.View})
			d := s.contiguous(dy[0])
			s.do(&backend.GroupedMatMul{
				C: g.View, A: ones.view, B: backend.MatrixOf(d.View.Unsqueeze(1)), Offsets: offsets.view,
			})
			d.release()
			s.give(x, g)
		})
	}
	return y.Reshape(slices.Insert(rest, 0, segments)...)
}

// SegmentMean returns SegmentSum divided by the number of rows of each segment, and 0 for
// an empty segment.
func SegmentMean(x, offsets Tensor) Tensor {
	sum := SegmentSum(x, offsets)
	s, segments := sum.Scope(), offsets.Dim(0)-1
	count, length := s.alloc(backend.I32, segments), s.alloc(sum.view.DType, segments)
	if s.err == nil {
		at := offsets.View()
		s.binary(backend.Sub, count.view, at.Slice(0, 1, segments+1), at.Slice(0, 0, segments))
	}
	s.do(&backend.Copy{Dst: length.view, Src: count.view})
	s.do(&backend.Unary{Y: length.view, X: length.view, Fn: backend.Clamp, A: 1, B: float64(max(x.Dim(0), 1))})
	shape := []int{segments}
	for range sum.Rank() - 1 {
		shape = append(shape, 1)
	}
	return Div(sum, length.Reshape(shape...))
}
