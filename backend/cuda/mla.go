package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) mlaKeys(o *backend.MLAKeys) error {
	n, heads, half := o.Up.Shape[0], o.Up.Shape[1], o.Cos.Shape[1]
	items := o.K.Shape[2] - half
	if o.V.Present() {
		items += o.V.Shape[2]
	}
	return b.kernel("mla", "mlaKeys"+suffix(o.K.DType)).views(&o.K, &o.V, &o.Up, &o.KR, &o.Pos, &o.Row, &o.Cos, &o.Sin).
		flag(o.Interleaved).index().each(n * heads * items)
}

func (b *CUDA) mlaKeysGrad(o *backend.MLAKeysGrad) error {
	return b.kernel("mla", "mlaKeysGrad"+suffix(o.DK.DType)).views(&o.DUp, &o.DKR, &o.DK, &o.DV, &o.Pos, &o.Cos, &o.Sin).
		flag(o.Interleaved).index().each(max(o.DUp.Len(), o.DKR.Len()/2))
}
