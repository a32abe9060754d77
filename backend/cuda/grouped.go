package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) groupedMatMul(o *backend.GroupedMatMul) error {
	kernel, err := b.formatted(o, o.B.Format, o.C.DType.Compute())
	if err != nil || o.C.Len() == 0 {
		return err
	}
	s := scratch{b: b}
	defer s.free()
	r, err := b.right(o, &o.B, &s)
	if err != nil {
		return err
	}
	left, scale, err := b.left(o.B.Format, &o.A, &s)
	if err != nil {
		return err
	}
	groups := o.Offsets.Shape[0] - 1
	mean := ceil(o.C.Shape[0], max(groups, 1)) // mean number of rows in a group
	tiles, infix := b.tiling(mean, o.C.Shape[1], groups)
	return b.kernel("grouped", "groupedMatMul"+infix+kernel).
		views(&o.C, &left, &scale, &r.data, &r.scale, &o.Offsets).index().blocks(tiles)
}

func (b *CUDA) groupedOuter(o *backend.GroupedOuter) error {
	kernel, err := b.formatted(o, o.Format, o.C.DType)
	if err != nil {
		return err
	}
	tiles, infix := b.tiling(o.C.Shape[1], o.C.Shape[2], o.C.Shape[0])
	return b.kernel("grouped", "groupedOuter"+infix+kernel).views(&o.C, &o.A, &o.B, &o.Offsets).index().blocks(tiles)
}
