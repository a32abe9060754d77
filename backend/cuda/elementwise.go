package cuda

import "github.com/aha-go/aha/backend"

// computed reports whether kernels load and store dt: not the storage dtypes.
func computed(dt backend.DType) bool {
	return dt == backend.F32 || dt == backend.F64 || dt == backend.BF16 || dt == backend.I32
}

func (b *CUDA) copy(o *backend.Copy) error {
	if !computed(o.Dst.DType) || !computed(o.Src.DType) {
		return backend.Unsupported(b, o, o.Dst.DType.String()+" from "+o.Src.DType.String())
	}
	return b.kernel("copy", "copy").views(&o.Dst, &o.Src).each(o.Dst.Len())
}

func (b *CUDA) fill(o *backend.Fill) error {
	if !computed(o.Dst.DType) {
		return backend.Unsupported(b, o, o.Dst.DType.String())
	}
	return b.kernel("elementwise", "fill").views(&o.Dst).double(o.Value).each(o.Dst.Len())
}

func (b *CUDA) binary(o *backend.Binary) error {
	kernel := "binary" + suffix(o.A.DType)
	if o.A.DType == backend.I32 {
		kernel = "binary_i32"
	}
	return b.kernel("elementwise", kernel).views(&o.Y, &o.A, &o.B).int(int(o.Fn)).each(o.Y.Len())
}
