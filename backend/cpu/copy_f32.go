package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// throughF32 reports whether float32 represents every number of dt and asm has
// kernels for the conversion.
func throughF32(dt backend.DType) bool {
	switch dt {
	case backend.F32, backend.BF16, backend.F16, backend.E4M3, backend.E5M2:
		return true
	}
	return false
}

// convertF32 is the job of Copy between two dtypes for which throughF32 is
// true.
type convertF32 backend.Copy

func (o *convertF32) run(w *worker, lo, hi int) {
	buf := scratch[float32](w, blockLen)
	var codes codeBlock
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		to, from := it.stride(0), it.stride(1)
		switch {
		case o.Dst.DType == backend.F32:
			dst := data[float32](&o.Dst)[it.off[0]:]
			x := place(dst, to, it.n, buf)
			codes.decode(x, &o.Src, it.off[1], from)
			store(dst, to, x)
		case o.Src.DType == backend.F32:
			codes.encode(&o.Dst, it.off[0], to, load(data[float32](&o.Src)[it.off[1]:], from, it.n, buf))
		default:
			codes.decode(buf[:it.n], &o.Src, it.off[1], from)
			codes.encode(&o.Dst, it.off[0], to, buf[:it.n])
		}
	}
}

// codeBlock is a buffer for the elements of a run that are not adjacent.
type codeBlock struct {
	one [blockLen]uint8
	two [blockLen]uint16
}

// decode converts the elements of v that lie stride apart, starting at offset
// off.
func (b *codeBlock) decode(x []float32, v *backend.View, off, stride int) {
	if v.DType.Size() == 1 {
		codes := load(data[uint8](v)[off:], stride, len(x), b.one[:])
		if v.DType == backend.E4M3 {
			asm.FromE4M3(x, codes)
		} else {
			asm.FromE5M2(x, codes)
		}
		return
	}
	codes := load(data[uint16](v)[off:], stride, len(x), b.two[:])
	if v.DType == backend.F16 {
		asm.FromF16(x, codes)
	} else {
		asm.FromBF16(x, codes)
	}
}

// encode rounds x into elements of v that lie stride apart, starting at offset
// off.
func (b *codeBlock) encode(v *backend.View, off, stride int, x []float32) {
	if v.DType.Size() == 1 {
		dst := data[uint8](v)[off:]
		codes := place(dst, stride, len(x), b.one[:])
		if v.DType == backend.E4M3 {
			asm.ToE4M3(codes, x)
		} else {
			asm.ToE5M2(codes, x)
		}
		store(dst, stride, codes)
		return
	}
	dst := data[uint16](v)[off:]
	codes := place(dst, stride, len(x), b.two[:])
	if v.DType == backend.F16 {
		asm.ToF16(codes, x)
	} else {
		asm.ToBF16(codes, x)
	}
	store(dst, stride, codes)
}
