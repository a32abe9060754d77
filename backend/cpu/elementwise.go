package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// elements is how many elements of an elementwise op are handed to a thread at
// once.
const elements = 8 * blockLen

// Elementwise jobs walk over blocks of elements. A block that is not contiguous
// is copied through scratch memory, so that one kernel over adjacent elements
// serves all layouts and an element's bits do not depend on the layout.

type unary[T number] backend.Unary

func (o *unary[T]) run(w *worker, lo, hi int) {
	buf := scratch[T](w, 2*blockLen)
	x, buf := newRunReader(&o.X, buf)
	y, _ := newRunWriter(&o.Y, buf)
	for it := newWalk(lo, hi, &o.Y, &o.X); it.next(); {
		in := x.load(it.off[1], it.stride(1), it.n)
		out := y.place(it.off[0], it.stride(0), it.n)
		apply(o.Fn, out, in, T(o.A), T(o.B))
		y.store(it.off[0], it.stride(0), out)
	}
}

// apply computes y = fn(x) with the parameters a and b.
func apply[T number](fn backend.UnaryFn, y, x []T, a, b T) {
	switch fn {
	case backend.Affine:
		if b == 0 {
			scale(y, x, a)
			return
		}
		for i, v := range x {
			y[i] = T(a*v) + b
		}
	case backend.Clamp:
		for i, v := range x {
			y[i] = min(max(v, a), b)
		}
	case backend.Exp:
		exp(y, x)
	case backend.Log:
		for i, v := range x {
			y[i] = T(math.Log(float64(v)))
		}
	case backend.Sigmoid:
		sigmoid(y, x)
	case backend.Sqrt:
		for i, v := range x {
			y[i] = T(math.Sqrt(float64(v)))
		}
	case backend.Reciprocal:
		for i, v := range x {
			y[i] = 1 / v
		}
	case backend.Abs:
		for i, v := range x {
			y[i] = T(math.Abs(float64(v)))
		}
	case backend.Sign:
		for i, v := range x {
			switch {
			case v > 0:
				v = 1
			case v < 0:
				v = -1
			}
			y[i] = v
		}
	case backend.Tanh:
		for i, v := range x {
			y[i] = T(math.Tanh(float64(v)))
		}
	case backend.Erf:
		for i, v := range x {
			y[i] = T(math.Erf(float64(v)))
		}
	case backend.Log1p:
		for i, v := range x {
			y[i] = T(math.Log1p(float64(v)))
		}
	}
}

// exp computes y = eˣ.
func exp[T number](y, x []T) {
	if y32, ok := any(y).([]float32); ok {
		asm.Exp(y32, any(x).([]float32))
		return
	}
	for i, v := range x {
		y[i] = T(math.Exp(float64(v)))
	}
}

func (b *CPU) binary(o *backend.Binary) error {
	j := binaryJob(o)
	if j == nil {
		return backend.Unsupported(b, o, o.Y.DType.String()+" of "+o.A.DType.String())
	}
	b.pool.run(o.Y.Len(), elements, j)
	return nil
}

// binaryJob returns the job for o's dtypes, or nil if there is none.
func binaryJob(o *backend.Binary) job {
	if o.Fn >= backend.Less {
		switch o.Y.DType.Compute() {
		case backend.F32:
			return compareJob[float32](o)
		case backend.F64:
			return compareJob[float64](o)
		case backend.I32:
			return compareJob[int32](o)
		}
		return nil
	}
	switch o.Y.DType.Compute() {
	case backend.F32:
		return (*arithmetic[float32])(o)
	case backend.F64:
		return (*arithmetic[float64])(o)
	}
	return (*arithmetic[int32])(o)
}

func compareJob[Y number | int32](o *backend.Binary) job {
	switch o.A.DType.Compute() {
	case backend.F32:
		return (*compare[Y, float32])(o)
	case backend.F64:
		return (*compare[Y, float64])(o)
	case backend.I32:
		return (*compare[Y, int32])(o)
	}
	return nil
}

type arithmetic[T number | int32] backend.Binary

func (o *arithmetic[T]) run(w *worker, lo, hi int) {
	buf := scratch[T](w, 3*blockLen)
	a, buf := newRunReader(&o.A, buf)
	b, buf := newRunReader(&o.B, buf)
	y, _ := newRunWriter(&o.Y, buf)
	for it := newWalk(lo, hi, &o.Y, &o.A, &o.B); it.next(); {
		inA, inB := a.load(it.off[1], it.stride(1), it.n), b.load(it.off[2], it.stride(2), it.n)
		out := y.place(it.off[0], it.stride(0), it.n)
		combine(o.Fn, out, inA, inB)
		y.store(it.off[0], it.stride(0), out)
	}
}

// combine computes y = fn(a, b).
func combine[T number | int32](fn backend.BinaryFn, y, a, b []T) {
	y32, single := any(y).([]float32)
	b = b[:len(a)]
	y = y[:len(a)]
	switch {
	case fn == backend.Add && single:
		asm.Add(y32, any(a).([]float32), any(b).([]float32))
	case fn == backend.Mul && single:
		asm.Mul(y32, any(a).([]float32), any(b).([]float32))
	case fn == backend.Add:
		for i, v := range a {
			y[i] = v + b[i]
		}
	case fn == backend.Sub:
		for i, v := range a {
			y[i] = v - b[i]
		}
	case fn == backend.Mul:
		for i, v := range a {
			y[i] = v * b[i]
		}
	case fn == backend.Div:
		for i, v := range a {
			y[i] = v / b[i]
		}
	case fn == backend.Max:
		for i, v := range a {
			y[i] = max(v, b[i])
		}
	case fn == backend.Min:
		for i, v := range a {
			y[i] = min(v, b[i])
		}
	}
}

// compare is the job of a comparison of T whose result, 0 or 1, is Y.
type compare[Y, T number | int32] backend.Binary

func (o *compare[Y, T]) run(w *worker, lo, hi int) {
	buf := scratch[T](w, 3*blockLen)
	a, buf := newRunReader(&o.A, buf)
	b, _ := newRunReader(&o.B, buf)
	y, _ := newRunWriter(&o.Y, scratch[Y](w, 3*blockLen)[2*blockLen:]) // Y and T may be the same type
	for it := newWalk(lo, hi, &o.Y, &o.A, &o.B); it.next(); {
		inA, inB := a.load(it.off[1], it.stride(1), it.n), b.load(it.off[2], it.stride(2), it.n)
		out := y.place(it.off[0], it.stride(0), it.n)
		for i, p := range inA {
			q := inB[i]
			var holds bool
			switch o.Fn {
			case backend.Less:
				holds = p < q
			case backend.LessEqual:
				holds = p <= q
			case backend.Equal:
				holds = p == q
			}
			out[i] = 0
			if holds {
				out[i] = 1
			}
		}
		y.store(it.off[0], it.stride(0), out)
	}
}

type selection[T number] backend.Select

func (o *selection[T]) run(w *worker, lo, hi int) {
	buf := scratch[T](w, 3*blockLen)
	a, buf := newRunReader(&o.A, buf)
	b, buf := newRunReader(&o.B, buf)
	y, _ := newRunWriter(&o.Y, buf)
	cond := data[int32](&o.Cond)
	for it := newWalk(lo, hi, &o.Y, &o.Cond, &o.A, &o.B); it.next(); {
		inA, inB := a.load(it.off[2], it.stride(2), it.n), b.load(it.off[3], it.stride(3), it.n)
		out := y.place(it.off[0], it.stride(0), it.n)
		for i, v := range inB {
			if cond[it.off[1]+i*it.stride(1)] != 0 {
				v = inA[i]
			}
			out[i] = v
		}
		y.store(it.off[0], it.stride(0), out)
	}
}
