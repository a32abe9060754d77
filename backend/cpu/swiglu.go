package cpu

import "github.com/aha-go/aha/backend"

type swiGLU[T number] backend.SwiGLU

func (o *swiGLU[T]) run(_ *worker, lo, hi int) {
	y, gate, up := data[T](&o.Y), data[T](&o.Gate), data[T](&o.Up)
	f := o.Gate.Shape[1]
	for i := lo; i < hi; i++ {
		swiGLURow(y[i*o.Y.Strides[0]:][:f], gate[i*o.Gate.Strides[0]:][:f], up[i*o.Up.Strides[0]:][:f])
	}
}

type swiGLUGrad[T number] backend.SwiGLUGrad

func (o *swiGLUGrad[T]) run(_ *worker, lo, hi int) {
	dgate, dup, dy, gate, up := data[T](&o.DGate), data[T](&o.DUp), data[T](&o.DY), data[T](&o.Gate), data[T](&o.Up)
	f := o.Gate.Shape[1]
	for i := lo; i < hi; i++ {
		swiGLUGradRow(dgate[i*o.DGate.Strides[0]:][:f], dup[i*o.DUp.Strides[0]:][:f],
			dy[i*o.DY.Strides[0]:][:f], gate[i*o.Gate.Strides[0]:][:f], up[i*o.Up.Strides[0]:][:f])
	}
}
