package cuda

import (
	"errors"

	"github.com/aha-go/aha/backend"
)

func (b *CUDA) attention(o *backend.Attention) error {
	return b.kernel("attention", "attention"+suffix(o.Q.DType)).
		views(&o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len, &o.Pages).double(o.Scale).index().
		warps(o.Q.Shape[0] * o.Q.Shape[1])
}

// attentionGrad first computes Δ and the range of query rows for each 32 key
// rows.
func (b *CUDA) attentionGrad(o *backend.AttentionGrad) error {
	s := scratch{b: b}
	defer s.free()
	delta, err := s.view(o.Q.DType.Compute(), o.Q.Shape[0], o.Q.Shape[1])
	if err != nil {
		return err
	}
	ranges, err := s.view(backend.I32, ceil(o.K.Shape[0], 32), 2)
	if err != nil {
		return err
	}
	dt := suffix(o.Q.DType)
	return errors.Join(
		b.kernel("attention_grad", "attentionGradDelta"+dt).views(&delta, &o.DO, &o.O).each(delta.Len()),
		b.kernel("attention_grad", "attentionGradRange").views(&ranges, &o.Start, &o.Len).int(o.K.Shape[0]).
			index().warps(ranges.Shape[0]),
		b.kernel("attention_grad", "attentionGradQuery"+dt).
			views(&o.DQ, &o.DO, &delta, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len).double(o.Scale).index().
			warps(o.Q.Shape[0]*o.Q.Shape[1]),
		b.kernel("attention_grad", "attentionGradKey"+dt).
			views(&o.DK, &o.DV, &o.DO, &delta, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len, &ranges).
			double(o.Scale).index().warps(o.K.Shape[0]*o.K.Shape[1]))
}
