package cpu

import "github.com/aha-go/aha/backend"

type rope[T number] backend.RoPE

func (o *rope[T]) run(w *worker, lo, hi int) {
	pos, heads, d := data[int32](&o.Pos), o.X.Shape[1], o.X.Shape[2]
	a := anglesOf[T](&o.Cos, &o.Sin, o.Interleaved, o.Inverse)
	turned := 2 * a.half
	still := d - turned
	buf := scratch[T](w, bufferSize(&o.X, turned)+bufferSize(&o.Y, turned))
	x, buf := newReader(&o.X, turned, buf)
	y, _ := newWriter(&o.Y, turned, buf)
	inPlace := o.X.Buf == o.Y.Buf && o.X.Offset == o.Y.Offset
	for i := lo; i < hi; i++ {
		c, s := a.at("RoPE", pos[i*o.Pos.Strides[0]])
		for h := range heads {
			from, to := i*o.X.Strides[0]+h*o.X.Strides[1], i*o.Y.Strides[0]+h*o.Y.Strides[1]
			if !inPlace {
				y.copy(to, &x, from, still)
			}
			a.rotate(y.at(to+still, turned), x.at(from+still, turned), c, s)
			y.done(to+still, turned)
		}
	}
}

// angles are the tables and the convention of a rotation.
type angles[T number] struct {
	cos, sin        []T
	half, positions int
	interleaved     bool
	sign            T // −1 rotates back
}

func anglesOf[T number](cos, sin *backend.View, interleaved, inverse bool) angles[T] {
	a := angles[T]{data[T](cos), data[T](sin), cos.Shape[1], cos.Shape[0], interleaved, 1}
	if inverse {
		a.sign = -1
	}
	return a
}

// at is the cosines and sines of a position.
func (a *angles[T]) at(op string, position int32) (cos, sin []T) {
	p := row(op, "position", position, a.positions)
	return a.cos[p*a.half:][:a.half], a.sin[p*a.half:][:a.half]
}

// rotate turns the pairs of in into out, which may be in.
func (a *angles[T]) rotate(out, in, cos, sin []T) {
	if a.interleaved {
		in, out = in[:2*len(cos)], out[:2*len(cos)]
		for k, c := range cos {
			x, y, s := in[2*k], in[2*k+1], a.sign*sin[k]
			out[2*k], out[2*k+1] = T(x*c)-T(y*s), T(x*s)+T(y*c)
		}
		return
	}
	x, y := in[:len(cos)], in[len(cos):][:len(cos)]
	u, v := out[:len(cos)], out[len(cos):][:len(cos)]
	for k, c := range cos {
		p, q, s := x[k], y[k], a.sign*sin[k]
		u[k], v[k] = T(p*c)-T(q*s), T(p*s)+T(q*c)
	}
}
