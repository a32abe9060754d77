package cpu

import "github.com/aha-go/aha/backend"

type rope[T number] backend.RoPE

func (o *rope[T]) run(_ *worker, lo, hi int) {
	x, y, pos, cos, sin := data[T](&o.X), data[T](&o.Y), data[int32](&o.Pos), data[T](&o.Cos), data[T](&o.Sin)
	heads, half := o.X.Shape[1], o.X.Shape[2]/2
	step, second := 1, half // pair p is elements p·step and p·step + second
	if o.Interleaved {
		step, second = 2, 1
	}
	sign := T(1)
	if o.Inverse {
		sign = -1
	}
	for i := lo; i < hi; i++ {
		p := row("RoPE", "position", pos[i*o.Pos.Strides[0]], o.Cos.Shape[0])
		c, s := cos[p*half:][:half], sin[p*half:][:half]
		for h := range heads {
			in := x[i*o.X.Strides[0]+h*o.X.Strides[1]:][:2*half]
			out := y[i*o.Y.Strides[0]+h*o.Y.Strides[1]:][:2*half]
			for k := range half {
				a, b, sk := in[k*step], in[k*step+second], sign*s[k]
				out[k*step] = T(a*c[k]) - T(b*sk)
				out[k*step+second] = T(a*sk) + T(b*c[k])
			}
		}
	}
}
