package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) attention(o *backend.Attention) error {
	return b.kernel("attention", "attention"+suffix(o.Q.DType)).
		views(&o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len, &o.Pages).double(o.Scale).index().
		blocks(o.Q.Shape[0] * o.Q.Shape[1])
}

func (b *CUDA) attentionGrad(o *backend.AttentionGrad) error {
	err := b.kernel("attention_grad", "attentionGradQuery"+suffix(o.Q.DType)).
		views(&o.DQ, &o.DO, &o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len).double(o.Scale).index().
		blocks(o.Q.Shape[0] * o.Q.Shape[1])
	if err != nil {
		return err
	}
	return b.kernel("attention_grad", "attentionGradKey"+suffix(o.Q.DType)).
		views(&o.DK, &o.DV, &o.DO, &o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len).double(o.Scale).index().
		blocks(o.K.Shape[0] * o.K.Shape[1])
}
