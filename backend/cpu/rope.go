package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

type rope[T number] backend.RoPE

func (o *rope[T]) run(w *worker, lo, hi int) {
	pos, heads, d := data[int32](&o.Pos), o.X.Shape[1], o.X.Shape[2]
	a := anglesOf[T](&o.Cos, &o.Sin, o.Interleaved, o.Inverse)
	turned := 2 * a.half
	still := d - turned
	together := 1 // number of adjacent heads that are rotated at a time
	if still == 0 && o.X.Strides[1] == d && o.Y.Strides[1] == d {
		together = max(heads, 1)
	}
	n := together * turned
	buf := scratch[T](w, bufferSize(&o.X, n)+bufferSize(&o.Y, n))
	x, buf := newReader(&o.X, n, buf)
	y, _ := newWriter(&o.Y, n, buf)
	inPlace := o.X.Buf == o.Y.Buf && o.X.Offset == o.Y.Offset
	for i := lo; i < hi; i++ {
		c, s := a.at("RoPE", pos[i*o.Pos.Strides[0]])
		for h := 0; h < heads; h += together {
			from, to := i*o.X.Strides[0]+h*o.X.Strides[1], i*o.Y.Strides[0]+h*o.Y.Strides[1]
			if !inPlace {
				y.copy(to, &x, from, still)
			}
			a.rotate(y.at(to+still, n), x.at(from+still, n), c, s)
			y.done(to+still, n)
		}
	}
}

// angles are the cosines and sines of a rotation and the layout of its pairs.
type angles[T number] struct {
	cos, sin        []T
	half, positions int
	interleaved     bool
	sign            T // −1 for the inverse rotation
}

func anglesOf[T number](cos, sin *backend.View, interleaved, inverse bool) angles[T] {
	a := angles[T]{data[T](cos), data[T](sin), cos.Shape[1], cos.Shape[0], interleaved, 1}
	if inverse {
		a.sign = -1
	}
	return a
}

// at returns the cosines and sines of a position.
func (a *angles[T]) at(op string, position int32) (cos, sin []T) {
	p := row(op, "position", position, a.positions)
	return a.cos[p*a.half:][:a.half], a.sin[p*a.half:][:a.half]
}

// rotate rotates the pairs of each row of in and writes them to out, which may
// be in.
func (a *angles[T]) rotate(out, in, cos, sin []T) {
	if out32, ok := any(out).([]float32); ok {
		asm.Rotate(out32, any(in).([]float32), any(cos).([]float32), any(sin).([]float32), float32(a.sign), a.interleaved)
		return
	}
	first, second := 1, a.half
	if a.interleaved {
		first, second = 2, 1
	}
	for ; len(out) > 0; in, out = in[2*a.half:], out[2*a.half:] {
		for k, c := range cos {
			i := k * first
			x, y, s := in[i], in[i+second], a.sign*sin[k]
			out[i], out[i+second] = T(x*c)-T(y*s), T(x*s)+T(y*c)
		}
	}
}
