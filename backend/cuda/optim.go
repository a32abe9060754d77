package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) adamW(o *backend.AdamW) error {
	return b.kernel("optim", "adamW"+suffix(o.W.DType)).views(&o.W, &o.G, &o.M, &o.V, &o.At).
		double(o.LR).double(o.Beta1).double(o.Beta2).double(o.Eps).double(o.WeightDecay).index().each(o.W.Len())
}
