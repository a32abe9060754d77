package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

type swiGLU[T number] backend.SwiGLU

func (o *swiGLU[T]) run(w *worker, lo, hi int) {
	f := o.Gate.Shape[1]
	if areBF16(&o.Y, &o.Gate, &o.Up) {
		for i := lo; i < hi; i++ {
			asm.SwiGLUBF16(halfRow(&o.Y, i), halfRow(&o.Gate, i), halfRow(&o.Up, i))
		}
		return
	}
	buf := scratch[T](w, bufferSize(&o.Gate, f)+bufferSize(&o.Up, f)+bufferSize(&o.Y, f))
	gate, buf := newReader(&o.Gate, f, buf)
	up, buf := newReader(&o.Up, f, buf)
	y, _ := newWriter(&o.Y, f, buf)
	for i := lo; i < hi; i++ {
		to := i * o.Y.Strides[0]
		swiGLURow(y.at(to, f), gate.at(i*o.Gate.Strides[0], f), up.at(i*o.Up.Strides[0], f))
		y.done(to, f)
	}
}

type swiGLUGrad[T number] backend.SwiGLUGrad

func (o *swiGLUGrad[T]) run(w *worker, lo, hi int) {
	f := o.Gate.Shape[1]
	if areBF16(&o.DGate, &o.DUp, &o.DY, &o.Gate, &o.Up) {
		for i := lo; i < hi; i++ {
			asm.SwiGLUGradBF16(halfRow(&o.DGate, i), halfRow(&o.DUp, i), halfRow(&o.DY, i), halfRow(&o.Gate, i),
				halfRow(&o.Up, i))
		}
		return
	}
	size := 0
	for _, v := range [...]*backend.View{&o.Gate, &o.Up, &o.DY, &o.DGate, &o.DUp} {
		size += bufferSize(v, f)
	}
	buf := scratch[T](w, size)
	gate, buf := newReader(&o.Gate, f, buf)
	up, buf := newReader(&o.Up, f, buf)
	dy, buf := newReader(&o.DY, f, buf)
	dGate, buf := newWriter(&o.DGate, f, buf)
	dUp, _ := newWriter(&o.DUp, f, buf)
	for i := lo; i < hi; i++ {
		toGate, toUp := i*o.DGate.Strides[0], i*o.DUp.Strides[0]
		swiGLUGradRow(dGate.at(toGate, f), dUp.at(toUp, f),
			dy.at(i*o.DY.Strides[0], f), gate.at(i*o.Gate.Strides[0], f), up.at(i*o.Up.Strides[0], f))
		dGate.done(toGate, f)
		dUp.done(toUp, f)
	}
}
