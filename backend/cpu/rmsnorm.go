package cpu

import "github.com/aha-go/aha/backend"

type rmsNorm[T number] backend.RMSNorm

func (o *rmsNorm[T]) run(w *worker, lo, hi int) {
	d := o.X.Shape[1]
	buf := scratch[T](w, bufferSize(&o.X, d)+bufferSize(&o.Y, d))
	x, buf := newReader(&o.X, d, buf)
	y, _ := newWriter(&o.Y, d, buf)
	gain, rstd := data[T](&o.W), data[T](&o.Rstd)
	for i := lo; i < hi; i++ {
		to := i * o.Y.Strides[0]
		rstd[i] = rmsNormRow(y.at(to, d), x.at(i*o.X.Strides[0], d), gain[:d], T(o.Eps))
		y.done(to, d)
	}
}

// sumRows is the number of rows whose contributions to a parameter's gradient
// are summed separately. These partial sums are then added in ascending order.
const sumRows = 64

// rmsNormGrad is the job of RMSNormGrad, split by blocks of sumRows rows.
type rmsNormGrad[T number] struct {
	*backend.RMSNormGrad
	partial []T // [blocks, D], the contribution of each block to DW
}

func (j *rmsNormGrad[T]) do(p *pool, o *backend.RMSNormGrad) {
	j.RMSNormGrad = o
	n, d := o.X.Shape[0], o.X.Shape[1]
	blocks := (n + sumRows - 1) / sumRows
	if o.DW.Present() {
		j.partial = grow(j.partial, blocks*d)
	}
	p.run(blocks, 1, j)
	if o.DW.Present() {
		dw := data[T](&o.DW)[:d]
		for b := range blocks {
			addScaled(dw, j.partial[b*d:][:d], 1)
		}
	}
	j.RMSNormGrad = nil
}

func (j *rmsNormGrad[T]) run(worker *worker, lo, hi int) {
	n, d := j.X.Shape[0], j.X.Shape[1]
	buf := scratch[T](worker, bufferSize(&j.X, d)+bufferSize(&j.DY, d)+bufferSize(&j.DX, d))
	x, buf := newReader(&j.X, d, buf)
	dy, buf := newReader(&j.DY, d, buf)
	dx, _ := newWriter(&j.DX, d, buf)
	w, rstd := data[T](&j.W), data[T](&j.Rstd)
	for b := lo; b < hi; b++ {
		var dw []T
		if j.DW.Present() {
			dw = j.partial[b*d:][:d]
			clear(dw)
		}
		for i := b * sumRows; i < min((b+1)*sumRows, n); i++ {
			dyi, xi := dy.at(i*j.DY.Strides[0], d), x.at(i*j.X.Strides[0], d)
			if j.DW.Present() {
				rmsNormGradWeight(dw, dyi, xi, rstd[i])
			}
			to := i * j.DX.Strides[0]
			rmsNormGradRow(dx.at(to, d), dyi, xi, w[:d], rstd[i])
			dx.done(to, d)
		}
	}
}
