package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) rope(o *backend.RoPE) error {
	n, heads, items := o.X.Shape[0], o.X.Shape[1], o.X.Shape[2]-o.Cos.Shape[1]
	return b.kernel("rope", "rope"+suffix(o.X.DType)).views(&o.Y, &o.X, &o.Pos, &o.Cos, &o.Sin).
		flag(o.Interleaved).flag(o.Inverse).index().each(n * heads * items)
}
