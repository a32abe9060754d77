package backend

import (
	"errors"
	"math"
)

// Expander runs a decomposition: it allocates temporaries and queues ops until the first
// error.
type Expander struct {
	b     Backend
	temps []Buffer
	err   error
}

// Expand runs the decomposition of d on b.
func Expand(b Backend, d Decomposer) error {
	x := &Expander{b: b}
	d.Decompose(x)
	for _, t := range x.temps {
		b.Free(t)
	}
	return x.err
}

// Temp returns an uninitialised contiguous temporary that is freed when the decomposition
// has run.
func (x *Expander) Temp(dt DType, shape ...int) View {
	v := NewView(nil, dt, shape...)
	if x.err != nil {
		return v
	}
	buf, err := AllocFor(x.b, Activations, v.Len()*dt.Size())
	if err != nil {
		x.err = err
		return v
	}
	x.temps = append(x.temps, buf)
	v.Buf = buf
	return v
}

// Do queues op; if the backend lacks it, op is decomposed in turn.
func (x *Expander) Do(op Op) {
	if x.err == nil {
		x.err = Do(x.b, op)
	}
}

// Do runs op on b, or decomposes it if b lacks it.
func Do(b Backend, op Op) error {
	err := b.Do(op)
	if err != nil && errors.Is(err, errors.ErrUnsupported) {
		if d, ok := op.(Decomposer); ok {
			return Expand(b, d)
		}
	}
	return err
}

// The methods below are short forms of ops: they broadcast operands to the result's shape.

func (x *Expander) copy(dst, src View) {
	x.Do(&Copy{Dst: dst, Src: src.BroadcastTo(dst.Dims()...)})
}

// as returns v in dtype dt: v itself or a copy.
func (x *Expander) as(dt DType, v View) View {
	if v.DType == dt {
		return v
	}
	w := x.Temp(dt, v.Dims()...)
	x.copy(w, v)
	return w
}

func (x *Expander) fill(dst View, value float64) { x.Do(&Fill{Dst: dst, Value: value}) }

func (x *Expander) unary(fn UnaryFn, y, v View) {
	x.Do(&Unary{Y: y, X: v.BroadcastTo(y.Dims()...), Fn: fn})
}

// affine computes y = a·v + b.
func (x *Expander) affine(y, v View, a, b float64) {
	x.Do(&Unary{Y: y, X: v.BroadcastTo(y.Dims()...), Fn: Affine, A: a, B: b})
}

func (x *Expander) binary(fn BinaryFn, y, a, b View) {
	shape := y.Dims()
	x.Do(&Binary{Y: y, A: a.BroadcastTo(shape...), B: b.BroadcastTo(shape...), Fn: fn})
}

func (x *Expander) choose(y, cond, a, b View) {
	shape := y.Dims()
	x.Do(&Select{Y: y, Cond: cond.BroadcastTo(shape...), A: a.BroadcastTo(shape...), B: b.BroadcastTo(shape...)})
}

func (x *Expander) reduce(fn ReduceFn, y, v View) { x.Do(&Reduce{Y: y, X: v, Fn: fn}) }

// constant returns a view of one element, which broadcasts to any shape.
func (x *Expander) constant(dt DType, value float64) View {
	v := x.Temp(dt, 1)
	x.fill(v, value)
	return v
}

// finite clamps the maxima of rows so that they can be subtracted: the maximum of an
// empty or fully masked row is −Inf, and −Inf − (−Inf) is NaN.
func (x *Expander) finite(top View) {
	x.Do(&Unary{Y: top, X: top, Fn: Clamp, A: -top.DType.largest(), B: top.DType.largest()})
}

// largest returns the largest finite number of F32 or F64.
func (d DType) largest() float64 {
	if d == F64 {
		return math.MaxFloat64
	}
	return math.MaxFloat32
}

// window returns the mask [N, R] of lo[i] ≤ j < hi[i], where j counts columns. lo and hi
// are [N]; all are I32.
func (x *Expander) window(lo, hi View, r int) View {
	n := lo.Dim(0)
	j, mask, below := x.Temp(I32, r), x.Temp(I32, n, r), x.Temp(I32, n, r)
	x.Do(&Iota{Dst: j})
	x.binary(LessEqual, mask, lo.Unsqueeze(1), j)
	x.binary(Less, below, j, hi.Unsqueeze(1))
	x.binary(Mul, mask, mask, below)
	return mask
}

// step2 returns every second element of the last dimension of v, beginning at from.
func (v View) step2(from int) View {
	last := v.Rank - 1
	v.Offset += from * v.Strides[last]
	v.Shape[last] /= 2
	v.Strides[last] *= 2
	return v
}

// split divides dimension axis in two: [.., n, ..] becomes [.., outer, n/outer, ..].
func (v View) split(axis, outer int) View {
	w := v.Unsqueeze(axis)
	w.Shape[axis], w.Shape[axis+1] = outer, v.Shape[axis]/outer
	w.Strides[axis], w.Strides[axis+1] = v.Strides[axis]*w.Shape[axis+1], v.Strides[axis]
	return w
}
