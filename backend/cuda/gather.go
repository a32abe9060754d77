package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) scatter(o *backend.Scatter) error {
	kernel := "scatter"
	switch {
	case !o.Add:
	case o.Y.DType == backend.I32:
		kernel = "scatterAdd_i32"
	default:
		kernel = "scatterAdd" + suffix(o.Y.DType)
	}
	return b.kernel("gather", kernel).views(&o.Y, &o.X, &o.Index).index().each(o.Y.Shape[1])
}
