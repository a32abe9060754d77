package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) pack(o *backend.Pack) error {
	f := o.Dst.Format
	if _, err := b.formatted(o, f, backend.F32); err != nil {
		return err
	}
	if err := b.narrow(o, &o.Dst); err != nil {
		return err
	}
	dst := b.stored(o, &o.Dst)
	n := o.Src.Data.Dim(-1)
	dst = dst.columns(o.Column, o.Column+n)
	switch {
	case f == backend.Native: // has no packed layout, so there is nothing to write
		return nil
	case f.BlockK == 0:
		return b.copy(&dst.data, &o.Src.Data)
	case !o.Src.Scale.Present():
		return b.encode(dst, &o.Src.Data)
	}
	if err := b.codes(dst, &o.Src); err != nil {
		return err
	}
	if err := b.copy(&dst.scale, &o.Src.Scale); err != nil || !f.Min {
		return err
	}
	dst.scale.Offset++
	return b.copy(&dst.scale, &o.Src.Min)
}

// codes writes the elements of src, which has separate scales, to dst.
func (b *CUDA) codes(dst right, src *backend.Matrix) error {
	if dst.format.Width == 0 {
		return b.copy(&dst.data, &src.Data)
	}
	offset := 8
	if dst.format.Min {
		offset = 0
	}
	return b.kernel("pack", "nibbles").views(&dst.data, &dst.scale, &src.Data).int(offset).each(dst.scale.Len())
}

func (b *CUDA) copy(dst, src *backend.View) error {
	return b.kernel("copy", "copy").views(dst, src).each(dst.Len())
}

func (b *CUDA) unpack(o *backend.Unpack) error {
	kernel, err := b.formatted(o, o.Src.Format, backend.F32)
	if err == nil {
		err = b.narrow(o, &o.Src)
	}
	if err != nil || o.Dst.Len() == 0 {
		return err
	}
	src := b.stored(o, &o.Src)
	return b.kernel("pack", "unpack"+kernel).views(&o.Dst, &o.Index, &src.data, &src.scale).index().each(o.Dst.Len())
}
