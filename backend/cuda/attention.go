package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) attention(o *backend.Attention) error {
	return b.kernel("attention", "attention"+suffix(o.Q.DType)).
		views(&o.O, &o.LSE, &o.Q, &o.K, &o.V, &o.Start, &o.Len, &o.Pages).double(o.Scale).index().
		blocks(o.Q.Shape[0] * o.Q.Shape[1])
}
