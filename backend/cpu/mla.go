package cpu

import "github.com/aha-go/aha/backend"

// mlaKeys is a job over tokens.
type mlaKeys[T number] backend.MLAKeys

func (o *mlaKeys[T]) run(w *worker, lo, hi int) {
	k, up, kR, pos := data[T](&o.K), data[T](&o.Up), data[T](&o.KR), data[int32](&o.Pos)
	heads, width, r := o.Up.Shape[1], o.Up.Shape[2], o.KR.Shape[1]
	nope := o.K.Shape[2] - r
	a := anglesOf[T](&o.Cos, &o.Sin, o.Interleaved, false)
	rotated := scratch[T](w, r)
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
		a.rotate(rotated, kR[i*o.KR.Strides[0]:], cos, sin)
		for h := range heads {
			from := up[i*o.Up.Strides[0]+h*o.Up.Strides[1]:][:width]
			key := k[to*o.K.Strides[0]+h*o.K.Strides[1]:][:nope+r]
			copy(key, from[:nope])
			copy(key[nope:], rotated)
			if o.V.Present() {
				copy(data[T](&o.V)[to*o.V.Strides[0]+h*o.V.Strides[1]:], from[nope:])
			}
		}
	}
}

// mlaKeysGrad is a job over tokens.
type mlaKeysGrad[T number] backend.MLAKeysGrad

func (o *mlaKeysGrad[T]) run(w *worker, lo, hi int) {
	dUp, dKR, dK, dV, pos := data[T](&o.DUp), data[T](&o.DKR), data[T](&o.DK), data[T](&o.DV), data[int32](&o.Pos)
	heads, width, r := o.DUp.Shape[1], o.DUp.Shape[2], o.DKR.Shape[1]
	nope := o.DK.Shape[2] - r
	a := anglesOf[T](&o.Cos, &o.Sin, o.Interleaved, true)
	sum := scratch[T](w, r)
	for i := lo; i < hi; i++ {
		clear(sum)
		for h := range heads {
			to := dUp[i*o.DUp.Strides[0]+h*o.DUp.Strides[1]:][:width]
			key := dK[i*o.DK.Strides[0]+h*o.DK.Strides[1]:][:nope+r]
			copy(to, key[:nope])
			copy(to[nope:], dV[i*o.DV.Strides[0]+h*o.DV.Strides[1]:])
			addScaled(sum, key[nope:], 1)
		}
		cos, sin := a.at("MLAKeysGrad", pos[i*o.Pos.Strides[0]])
		a.rotate(dKR[i*o.DKR.Strides[0]:], sum, cos, sin)
	}
}
