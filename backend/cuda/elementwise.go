package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) binary(o *backend.Binary) error {
	kernel := "binary" + suffix(o.A.DType)
	if o.A.DType == backend.I32 {
		kernel = "binary_i32"
	}
	return b.kernel("elementwise", kernel).views(&o.Y, &o.A, &o.B).int(int(o.Fn)).each(o.Y.Len())
}
