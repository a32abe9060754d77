package tensor

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
)

// MatMul returns a·b over the last two dimensions, for a [..., M, K] and b [..., K, N]
// with equal leading dimensions.
func MatMul(a, b Tensor) Tensor {
	s := scopeOf("MatMul", a, b)
	shape := matMulShape(a, b)
	y := s.alloc(a.view.DType, shape...)
	s.do(&backend.MatMul{C: y.view, A: a.View(), B: backend.MatrixOf(b.View())})
	if s.needs(a, b) {
		var saved []Tensor
		if b.val != nil {
			saved = append(saved, a)
		}
		if a.val != nil {
			saved = append(saved, b)
		}
		s.track([]*Tensor{&y}, saved, func(dy []gradient) {
			if a.val != nil {
				g := s.newGradient(a)
				s.do(&backend.MatMul{C: g.View, A: dy[0].View, B: backend.MatrixOf(b.view.T())})
				s.give(a, g)
			}
			if b.val != nil {
				g := s.newGradient(b)
				s.do(&backend.MatMul{C: g.View, A: a.view.T(), B: backend.MatrixOf(dy[0].View)})
				s.give(b, g)
			}
		})
	}
	return y
}

// matMulShape returns the shape of a·b. It panics if the operands do not fit.
func matMulShape(a, b Tensor) []int {
	as, bs := a.Shape(), b.Shape()
	mismatch := func(format string, args ...any) {
		panic(fmt.Sprintf("tensor: MatMul: a %v, b %v: %s", as, bs, fmt.Sprintf(format, args...)))
	}
	r := len(as)
	switch {
	case r < 2 || len(bs) != r:
		mismatch("want equal ranks of at least 2")
	case as[r-1] != bs[r-2]:
		mismatch("inner %d != %d", as[r-1], bs[r-2])
	case !slices.Equal(as[:r-2], bs[:r-2]):
		mismatch("leading %v != %v", as[:r-2], bs[:r-2])
	}
	return append(as[:r-1], bs[r-1])
}
