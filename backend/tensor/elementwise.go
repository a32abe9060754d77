package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// unary is pointwise for a single op.
func unary(x Tensor, op backend.Unary, saveX, saveY bool, back func(t temps, dx, dy, x, y backend.View)) Tensor {
	return pointwise(op.Fn.String(), x, saveX, saveY, func(t temps, y, x backend.View) {
		op.Y, op.X = y, x
		t.do(&op)
	}, back)
}

func (s *Scope) binary(fn backend.BinaryFn, y, a, b backend.View) {
	s.do(&backend.Binary{Y: y, A: a, B: b, Fn: fn})
}

func (s *Scope) affine(y, x backend.View, a, b float64) {
	s.do(&backend.Unary{Y: y, X: x, Fn: backend.Affine, A: a, B: b})
}

// Scale returns k·x.
func Scale(x Tensor, k float64) Tensor { return Affine(x, k, 0) }

// Neg returns −x.
func Neg(x Tensor) Tensor { return Affine(x, -1, 0) }

// Affine returns a·x + b.
func Affine(x Tensor, a, b float64) Tensor {
	return unary(x, backend.Unary{Fn: backend.Affine, A: a, B: b}, false, false,
		func(t temps, dx, dy, _, _ backend.View) { t.affine(dx, dy, a, 0) })
}

// Exp returns eˣ.
func Exp(x Tensor) Tensor {
	return unary(x, backend.Unary{Fn: backend.Exp}, false, true,
		func(t temps, dx, dy, _, y backend.View) { t.binary(backend.Mul, dx, dy, y) })
}

// Log returns ln x.
func Log(x Tensor) Tensor {
	return unary(x, backend.Unary{Fn: backend.Log}, true, false,
		func(t temps, dx, dy, x, _ backend.View) { t.binary(backend.Div, dx, dy, x) })
}

// Sigmoid returns 1/(1+e⁻ˣ).
func Sigmoid(x Tensor) Tensor {
	return unary(x, backend.Unary{Fn: backend.Sigmoid}, false, true, func(t temps, dx, dy, _, y backend.View) {
		t.affine(dx, y, -1, 1) // 1−y
		t.binary(backend.Mul, dx, dx, y)
		t.binary(backend.Mul, dx, dx, dy)
	})
}

// Clamp limits x to [lo, hi]. The gradient passes where lo ≤ x ≤ hi, and is 0 elsewhere.
func Clamp(x Tensor, lo, hi float64) Tensor {
	return unary(x, backend.Unary{Fn: backend.Clamp, A: lo, B: hi}, true, true, func(t temps, dx, dy, x, y backend.View) {
		t.binary(backend.Equal, dx, x, y)
		t.binary(backend.Mul, dx, dx, dy)
	})
}

// binaryShape returns the shape to which a and b broadcast. It panics if there is none.
func binaryShape(fn backend.BinaryFn, a, b Tensor) []int {
	as, bs := a.Shape(), b.Shape()
	n := max(len(as), len(bs))
	shape := make([]int, n)
	for i := range n {
		da, db := 1, 1
		if j := i - n + len(as); j >= 0 {
			da = as[j]
		}
		if j := i - n + len(bs); j >= 0 {
			db = bs[j]
		}
		switch {
		case da == db || db == 1:
			shape[i] = da
		case da == 1:
			shape[i] = db
		default:
			panic(fmt.Sprintf("tensor: %s: a %v, b %v do not broadcast", fn, as, bs))
		}
	}
	return shape
}

// gradFn computes the gradient of one operand of a binary op, in the shape of the result.
// a, b and y say which of the op's tensors it reads besides dy.
type gradFn struct {
	a, b, y bool
	run     func(s *Scope, d, dy, a, b, y backend.View)
}

// binary computes fn(a, b) with broadcasting; da and db compute its gradients.
func binary(fn backend.BinaryFn, a, b Tensor, da, db gradFn) Tensor {
	s := scopeOf(fn.String(), a, b)
	y := s.combine(fn, a, b)
	if !s.needs(a, b) {
		return y
	}
	on := func(da, db bool) bool { return a.val != nil && da || b.val != nil && db }
	var saved []Tensor
	if on(da.a, db.a) {
		saved = append(saved, a)
	}
	if on(da.b, db.b) {
		saved = append(saved, b)
	}
	if on(da.y, db.y) {
		saved = append(saved, y)
	}
	yv := y.view
	s.track([]*Tensor{&y}, saved, func(dy []gradient) {
		shape := yv.Dims()
		av, bv := a.view.BroadcastTo(shape...), b.view.BroadcastTo(shape...)
		back := func(t Tensor, d gradFn) {
			if t.val == nil {
				return
			}
			dt := yv.DType
			if t.view.DType != dt || t.Len() != yv.Len() { // a sum follows, or an operand is F32: give rounds the gradient
				dt = dt.Compute()
			}
			g := s.newGradientAs(Tensor{view: yv}, dt)
			d.run(s, g.View, dy[0].View, av, bv, yv)
			s.give(t, s.unbroadcast(g, t))
			g.release()
		}
		back(a, da)
		back(b, db)
	})
	return y
}

// combine returns fn(a, b) without recording it. If one of them is BF16 and the other
// F32, the result has the dtype of a.
func (s *Scope) combine(fn backend.BinaryFn, a, b Tensor) Tensor {
	if a.view.DType.Compute() != b.view.DType.Compute() {
		panic(fmt.Sprintf("tensor: %s: a %s%v, b %s%v: dtypes differ", fn, a.DType(), a.Shape(), b.DType(), b.Shape()))
	}
	if a.view.Rank == b.view.Rank && a.view.Shape == b.view.Shape {
		y := s.allocLike(a.view)
		s.binary(fn, y.view, a.View(), b.View())
		return y
	}
	shape := binaryShape(fn, a, b)
	y := s.alloc(a.view.DType, shape...)
	s.binary(fn, y.view, a.View().BroadcastTo(shape...), b.View().BroadcastTo(shape...))
	return y
}

// Add returns a + b, broadcasting trailing dimensions. As in all functions of two
// tensors, the result has the dtype of a if one is BF16 and the other F32.
func Add(a, b Tensor) Tensor {
	s := scopeOf("Add", a, b)
	y := s.combine(backend.Add, a, b)
	if s.needs(a, b) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) { // both gradients share the memory of dy
			for _, t := range [...]Tensor{a, b} {
				if t.val != nil {
					s.give(t, s.unbroadcast(dy[0], t))
				}
			}
		})
	}
	return y
}

// Sub returns a − b, broadcasting trailing dimensions.
func Sub(a, b Tensor) Tensor {
	return binary(backend.Sub, a, b,
		gradFn{run: func(s *Scope, d, dy, _, _, _ backend.View) { s.affine(d, dy, 1, 0) }},
		gradFn{run: func(s *Scope, d, dy, _, _, _ backend.View) { s.affine(d, dy, -1, 0) }})
}

// Mul returns a·b element by element, broadcasting trailing dimensions.
func Mul(a, b Tensor) Tensor {
	return binary(backend.Mul, a, b,
		gradFn{b: true, run: func(s *Scope, d, dy, _, b, _ backend.View) { s.binary(backend.Mul, d, dy, b) }},
		gradFn{a: true, run: func(s *Scope, d, dy, a, _, _ backend.View) { s.binary(backend.Mul, d, dy, a) }})
}

// Div returns a/b element by element, broadcasting trailing dimensions.
func Div(a, b Tensor) Tensor {
	return binary(backend.Div, a, b,
		gradFn{b: true, run: func(s *Scope, d, dy, _, b, _ backend.View) { s.binary(backend.Div, d, dy, b) }},
		gradFn{b: true, y: true, run: func(s *Scope, d, dy, _, b, y backend.View) { // −dy·y/b
			s.binary(backend.Mul, d, dy, y)
			s.binary(backend.Div, d, d, b)
			s.affine(d, d, -1, 0)
		}})
}

// Minimum returns min(a, b) element by element. At a tie the gradient goes to a.
func Minimum(a, b Tensor) Tensor { return extremum(backend.Min, a, b) }

// Maximum returns max(a, b) element by element. At a tie the gradient goes to a.
func Maximum(a, b Tensor) Tensor { return extremum(backend.Max, a, b) }

func extremum(fn backend.BinaryFn, a, b Tensor) Tensor {
	return binary(fn, a, b,
		gradFn{a: true, y: true, run: func(s *Scope, d, dy, a, _, y backend.View) {
			s.binary(backend.Equal, d, a, y)
			s.binary(backend.Mul, d, d, dy)
		}},
		gradFn{a: true, y: true, run: func(s *Scope, d, dy, a, _, y backend.View) { // 1 − [a = y]
			s.binary(backend.Equal, d, a, y)
			s.affine(d, d, -1, 1)
			s.binary(backend.Mul, d, d, dy)
		}})
}

// Sum returns the sum of all elements, of shape [1]. It is F32 if x is BF16.
func Sum(x Tensor) Tensor {
	s := scopeOf("Sum", x)
	flat := x.Contiguous()
	y := s.alloc(x.view.DType.Compute(), 1)
	if s.err == nil {
		s.do(&backend.Reduce{Y: y.view, X: flat.View().Reshape(1, x.Len()), Fn: backend.Sum})
	}
	if s.needs(flat) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) {
			g := s.newGradient(flat)
			s.affine(g.View, dy[0].View.Reshape().BroadcastTo(flat.Shape()...), 1, 0)
			s.give(flat, g)
		})
	}
	return y
}

// Mean returns the mean of all elements, of shape [1].
func Mean(x Tensor) Tensor { return Scale(Sum(x), 1/float64(x.Len())) }

// SumLast sums over the last dimension and removes it. The result is F32 if x is BF16.
func SumLast(x Tensor) Tensor {
	s := scopeOf("SumLast", x)
	shape := x.Shape()
	if len(shape) == 0 {
		panic("tensor: SumLast of a scalar")
	}
	y := s.alloc(x.view.DType.Compute(), shape[:len(shape)-1]...)
	s.do(&backend.Reduce{Y: y.view, X: x.View(), Fn: backend.Sum})
	if s.needs(x) {
		s.track([]*Tensor{&y}, nil, func(dy []gradient) {
			g := s.newGradient(x)
			s.affine(g.View, dy[0].View.Unsqueeze(dy[0].Rank).BroadcastTo(shape...), 1, 0)
			s.give(x, g)
		})
	}
	return y
}
