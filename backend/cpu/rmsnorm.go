package cpu

import "github.com/aha-go/aha/backend"

type rmsNorm[T number] backend.RMSNorm

func (o *rmsNorm[T]) run(_ *worker, lo, hi int) {
	x, y, w, rstd := data[T](&o.X), data[T](&o.Y), data[T](&o.W), data[T](&o.Rstd)
	d := o.X.Shape[1]
	for i := lo; i < hi; i++ {
		rstd[i] = rmsNormRow(y[i*o.Y.Strides[0]:][:d], x[i*o.X.Strides[0]:][:d], w[:d], T(o.Eps))
	}
}

// sumRows is the number of rows whose contributions to a parameter's gradient
// are summed on their own, before these sums are added in ascending order.
const sumRows = 64

// rmsNormGrad is a job over blocks of sumRows rows.
type rmsNormGrad[T number] struct {
	*backend.RMSNormGrad
	partial []T // [blocks, D]: each block's share of DW
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

func (j *rmsNormGrad[T]) run(_ *worker, lo, hi int) {
	dx, dy, x, w, rstd := data[T](&j.DX), data[T](&j.DY), data[T](&j.X), data[T](&j.W), data[T](&j.Rstd)
	n, d := j.X.Shape[0], j.X.Shape[1]
	for b := lo; b < hi; b++ {
		var dw []T
		if j.DW.Present() {
			dw = j.partial[b*d:][:d]
			clear(dw)
		}
		for i := b * sumRows; i < min((b+1)*sumRows, n); i++ {
			dyi, xi := dy[i*j.DY.Strides[0]:][:d], x[i*j.X.Strides[0]:][:d]
			if j.DW.Present() {
				rmsNormGradWeight(dw, dyi, xi, rstd[i])
			}
			rmsNormGradRow(dx[i*j.DX.Strides[0]:][:d], dyi, xi, w[:d], rstd[i])
		}
	}
}
