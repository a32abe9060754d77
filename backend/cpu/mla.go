package cpu

import "github.com/aha-go/aha/backend"

// mlaKeys is the job of MLAKeys, split by tokens.
type mlaKeys[T number] backend.MLAKeys

func (o *mlaKeys[T]) run(w *worker, lo, hi int) {
	pos, heads, width, r := data[int32](&o.Pos), o.Up.Shape[1], o.Up.Shape[2], o.KR.Shape[1]
	nope := o.K.Shape[2] - r
	a := anglesOf[T](&o.Cos, &o.Sin, o.Interleaved, false)
	buf := scratch[T](w, r+bufferSize(&o.KR, r))
	rotated := buf[:r]
	kR, _ := newReader(&o.KR, r, buf[r:])
	up, _ := newReader[T](&o.Up, 0, nil)
	k, _ := newWriter[T](&o.K, 0, nil)
	var v writer[T]
	if o.V.Present() {
		v, _ = newWriter[T](&o.V, 0, nil)
	}
	for i := lo; i < hi; i++ {
		to := i
		if o.Row.Present() {
			at := at[int32](&o.Row, i)
			if at < 0 {
				continue
			}
			to = row("MLAKeys", "row", at, o.K.Shape[0])
		}
		cos, sin := a.at("MLAKeys", pos[i*o.Pos.Strides[0]])
		a.rotate(rotated, kR.at(i*o.KR.Strides[0], r), cos, sin)
		for h := range heads {
			from, key := i*o.Up.Strides[0]+h*o.Up.Strides[1], to*o.K.Strides[0]+h*o.K.Strides[1]
			k.copy(key, &up, from, nope)
			k.put(key+nope, 1, rotated)
			if o.V.Present() {
				v.copy(to*o.V.Strides[0]+h*o.V.Strides[1], &up, from+nope, width-nope)
			}
		}
	}
}

// mlaKeysGrad is the job of MLAKeysGrad, split by tokens.
type mlaKeysGrad[T number] backend.MLAKeysGrad

func (o *mlaKeysGrad[T]) run(w *worker, lo, hi int) {
	pos, heads, width, r := data[int32](&o.Pos), o.DUp.Shape[1], o.DUp.Shape[2], o.DKR.Shape[1]
	nope := o.DK.Shape[2] - r
	a := anglesOf[T](&o.Cos, &o.Sin, o.Interleaved, true)
	buf := scratch[T](w, r+bufferSize(&o.DK, r)+bufferSize(&o.DKR, r))
	sum := buf[:r]
	dK, buf := newReader(&o.DK, r, buf[r:])
	dKR, _ := newWriter(&o.DKR, r, buf)
	dV, _ := newReader[T](&o.DV, 0, nil)
	dUp, _ := newWriter[T](&o.DUp, 0, nil)
	for i := lo; i < hi; i++ {
		clear(sum)
		for h := range heads {
			to, key := i*o.DUp.Strides[0]+h*o.DUp.Strides[1], i*o.DK.Strides[0]+h*o.DK.Strides[1]
			dUp.copy(to, &dK, key, nope)
			dUp.copy(to+nope, &dV, i*o.DV.Strides[0]+h*o.DV.Strides[1], width-nope)
			addScaled(sum, dK.at(key+nope, r), 1)
		}
		cos, sin := a.at("MLAKeysGrad", pos[i*o.Pos.Strides[0]])
		to := i * o.DKR.Strides[0]
		a.rotate(dKR.at(to, r), sum, cos, sin)
		dKR.done(to, r)
	}
}
