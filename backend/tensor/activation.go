package tensor

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// pointwise computes y = forward(x) element by element. back computes dx from dy, x and
// y; saveX and saveY say which of x and y it reads. forward and back may make
// temporaries.
func pointwise(op string, x Tensor, saveX, saveY bool, forward func(t temps, y, x backend.View),
	back func(t temps, dx, dy, x, y backend.View)) Tensor {
	s := scopeOf(op, x)
	y := s.allocLike(x.view)
	s.withTemps(x.view, func(t temps) { forward(t, y.view, x.View()) })
	if s.needs(x) {
		var saved []Tensor
		if saveX {
			saved = append(saved, x)
		}
		if saveY {
			saved = append(saved, y)
		}
		yv := y.view
		s.track([]*Tensor{&y}, saved, func(dy []gradient) {
			g := s.newGradient(x)
			s.withTemps(x.view, func(t temps) { back(t, g.View, dy[0].View, x.view, yv) })
			s.give(x, g)
		})
	}
	return y
}

// temps makes temporaries that have the shape of like and its compute dtype.
type temps struct {
	*Scope
	like backend.View
	made *[]gradient
}

// withTemps runs fn and frees the temporaries that it made.
func (s *Scope) withTemps(like backend.View, fn func(t temps)) {
	var made []gradient
	fn(temps{s, like, &made})
	for _, g := range made {
		g.release()
	}
}

// next returns a new temporary.
func (t temps) next() backend.View {
	g := t.newGradientAs(Tensor{view: t.like}, t.like.DType.Compute())
	*t.made = append(*t.made, g)
	return g.View
}

// unary computes y = fn(x).
func (t temps) unary(fn backend.UnaryFn, y, x backend.View) { t.do(&backend.Unary{Y: y, X: x, Fn: fn}) }

// Sqrt returns √x, element by element. Its gradient at 0 is infinite.
func Sqrt(x Tensor) Tensor {
	return unary(x, backend.Unary{Fn: backend.Sqrt}, false, true,
		func(t temps, dx, dy, _, y backend.View) { // dy/(2y)
			twice := t.next()
			t.affine(twice, y, 2, 0)
			t.binary(backend.Div, dx, dy, twice)
		})
}

// Abs returns |x|, element by element. Its gradient at 0 is 0.
func Abs(x Tensor) Tensor {
	return unary(x, backend.Unary{Fn: backend.Abs}, true, false,
		func(t temps, dx, dy, x, _ backend.View) { // dy·sign(x)
			sign := t.next()
			t.unary(backend.Sign, sign, x)
			t.binary(backend.Mul, dx, dy, sign)
		})
}

// ReLU returns max(x, 0), element by element. Its gradient at 0 is 0.
func ReLU(x Tensor) Tensor {
	return pointwise("ReLU", x, false, true,
		func(t temps, y, x backend.View) {
			t.do(&backend.Unary{Y: y, X: x, Fn: backend.Clamp, A: 0, B: math.Inf(1)})
		},
		func(t temps, dx, dy, _, y backend.View) { // dy·[y > 0]
			on := t.next()
			t.unary(backend.Sign, on, y)
			t.binary(backend.Mul, dx, dy, on)
		})
}

// Tanh returns the hyperbolic tangent, element by element.
func Tanh(x Tensor) Tensor {
	return unary(x, backend.Unary{Fn: backend.Tanh}, false, true,
		func(t temps, dx, dy, _, y backend.View) { // dy·(1 − y²)
			slope := t.next()
			t.binary(backend.Mul, slope, y, y)
			t.affine(slope, slope, -1, 1)
			t.binary(backend.Mul, dx, dy, slope)
		})
}

// LogSigmoid returns ln(1/(1+e⁻ˣ)), element by element. It computes min(x, 0) − ln(1 +
// e^−|x|), which is accurate where the sigmoid is near 0 or 1.
func LogSigmoid(x Tensor) Tensor {
	return pointwise("LogSigmoid", x, true, false,
		func(t temps, y, x backend.View) {
			low, tail := t.next(), t.next()
			t.do(&backend.Unary{Y: low, X: x, Fn: backend.Clamp, A: math.Inf(-1), B: 0})
			t.unary(backend.Abs, tail, x)
			t.affine(tail, tail, -1, 0)
			t.unary(backend.Exp, tail, tail)
			t.unary(backend.Log1p, tail, tail)
			t.binary(backend.Sub, y, low, tail)
		},
		func(t temps, dx, dy, x, _ backend.View) { // dy·σ(−x)
			slope := t.next()
			t.affine(slope, x, -1, 0)
			t.unary(backend.Sigmoid, slope, slope)
			t.binary(backend.Mul, dx, dy, slope)
		})
}

// GELU returns x·Φ(x), element by element, where Φ(x) = ½·(1 + erf(x/√2)) is the normal
// distribution function (Hendrycks and Gimpel 2016). PyTorch calls it approximate="none".
func GELU(x Tensor) Tensor {
	phi := func(t temps, x backend.View) backend.View {
		p := t.next()
		t.affine(p, x, math.Sqrt2/2, 0)
		t.unary(backend.Erf, p, p)
		t.affine(p, p, 0.5, 0.5)
		return p
	}
	return pointwise("GELU", x, true, false,
		func(t temps, y, x backend.View) { t.binary(backend.Mul, y, x, phi(t, x)) },
		func(t temps, dx, dy, x, _ backend.View) { // dy·(Φ(x) + x·e^(−x²/2)/√(2π))
			slope, density := phi(t, x), t.next()
			t.binary(backend.Mul, density, x, x)
			t.affine(density, density, -0.5, 0)
			t.unary(backend.Exp, density, density)
			t.affine(density, density, 1/math.Sqrt(2*math.Pi), 0)
			t.binary(backend.Mul, density, density, x)
			t.binary(backend.Add, slope, slope, density)
			t.binary(backend.Mul, dx, dy, slope)
		})
}

// GELUTanh returns the approximation ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) of GELU,
// element by element. PyTorch calls it approximate="tanh", configs gelu_pytorch_tanh.
func GELUTanh(x Tensor) Tensor {
	const cubic = 0.044715
	c := math.Sqrt(2 / math.Pi)
	// inner returns the tanh of the formula, and x².
	inner := func(t temps, x backend.View) (tanh, square backend.View) {
		tanh, square = t.next(), t.next()
		t.binary(backend.Mul, square, x, x)
		t.affine(tanh, square, c*cubic, c)
		t.binary(backend.Mul, tanh, tanh, x)
		t.unary(backend.Tanh, tanh, tanh)
		return tanh, square
	}
	return pointwise("GELUTanh", x, true, false,
		func(t temps, y, x backend.View) {
			half, _ := inner(t, x)
			t.affine(half, half, 0.5, 0.5)
			t.binary(backend.Mul, y, x, half)
		},
		func(t temps, dx, dy, x, _ backend.View) { // dy·½·(1 + h + x·(1 − h²)·c·(1 + 3·cubic·x²)) with the tanh h
			h, slope := inner(t, x)
			t.affine(slope, slope, 3*c*cubic, c)
			t.binary(backend.Mul, slope, slope, x)
			bend := t.next()
			t.binary(backend.Mul, bend, h, h)
			t.affine(bend, bend, -1, 1)
			t.binary(backend.Mul, slope, slope, bend)
			t.binary(backend.Add, slope, slope, h)
			t.affine(slope, slope, 0.5, 0.5)
			t.binary(backend.Mul, dx, dy, slope)
		})
}
