package cpu

import (
	"encoding/binary"
	"math"

	"github.com/aha-go/aha/backend"
)

// copyJob returns the job of Copy. Equal dtypes are copied bit by bit. Dtypes
// that float32 represents exactly are converted through float32, the others
// (F64 and I32) through float64.
func copyJob(o *backend.Copy) job {
	switch dst, src := o.Dst.DType, o.Src.DType; {
	case dst == src:
		return sized(dst, (*move[uint8])(o), (*move[uint16])(o), (*move[int32])(o), (*move[float64])(o))
	case throughF32(dst) && throughF32(src):
		return (*convertF32)(o)
	}
	return (*convert)(o)
}

type move[T number | int32 | uint16 | uint8] backend.Copy

func (o *move[T]) run(_ *worker, lo, hi int) {
	dst, src := data[T](&o.Dst), data[T](&o.Src)
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		moveRow(dst[it.off[0]:], src[it.off[1]:], it.n, it.stride(0), it.stride(1))
	}
}

// moveRow copies n elements; those of dst lie sd apart, those of src ss.
func moveRow[T any](dst, src []T, n, sd, ss int) {
	if sd == 1 && ss == 1 {
		copy(dst[:n], src[:n])
		return
	}
	for i := range n {
		dst[i*sd] = src[i*ss]
	}
}

type convert backend.Copy

func (o *convert) run(w *worker, lo, hi int) {
	buf := scratch[float64](w, blockLen)
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		readRow(buf[:it.n], &o.Src, it.off[1], it.stride(1))
		writeRow(&o.Dst, it.off[0], it.stride(0), buf[:it.n])
	}
}

// readRow reads len(x) elements of v that lie stride apart, starting at offset
// off.
func readRow(x []float64, v *backend.View, off, stride int) {
	switch v.DType {
	case backend.F32:
		for i, src := 0, data[float32](v)[off:]; i < len(x); i++ {
			x[i] = float64(src[i*stride])
		}
	case backend.F64:
		moveRow(x, data[float64](v)[off:], len(x), 1, stride)
	case backend.BF16:
		for i, src := 0, data[uint16](v)[off:]; i < len(x); i++ {
			x[i] = float64(fromBFloat16(src[i*stride]))
		}
	case backend.I32:
		for i, src := 0, data[int32](v)[off:]; i < len(x); i++ {
			x[i] = float64(src[i*stride])
		}
	default:
		for i, src := 0, elementBytes(v); i < len(x); i++ {
			x[i] = v.DType.Get(src, off+i*stride)
		}
	}
}

// writeRow rounds x into elements of v that lie stride apart, starting at
// offset off.
func writeRow(v *backend.View, off, stride int, x []float64) {
	switch v.DType {
	case backend.F32:
		dst := data[float32](v)[off:]
		for i, e := range x {
			dst[i*stride] = float32(e)
		}
	case backend.F64:
		moveRow(data[float64](v)[off:], x, len(x), stride, 1)
	case backend.I32:
		dst := data[int32](v)[off:]
		for i, e := range x {
			dst[i*stride] = truncate(e)
		}
	default:
		dst := elementBytes(v)
		for i, e := range x {
			v.DType.Put(dst, off+i*stride, e)
		}
	}
}

// bfloat16 rounds x to nearest, ties to even; NaN stays NaN.
func bfloat16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

func fromBFloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// truncate rounds x toward zero. NaN gives 0, and numbers out of range give the
// nearest int32, as on CUDA devices.
func truncate(x float64) int32 {
	if x != x {
		return 0
	}
	return int32(min(max(x, math.MinInt32), math.MaxInt32))
}

type fill backend.Fill

func (o *fill) run(_ *worker, lo, hi int) {
	for it := newWalk(lo, hi, &o.Dst); it.next(); {
		off, stride := it.off[0], it.stride(0)
		switch o.Dst.DType {
		case backend.F32:
			fillRow(data[float32](&o.Dst)[off:], it.n, stride, float32(o.Value))
		case backend.F64:
			fillRow(data[float64](&o.Dst)[off:], it.n, stride, o.Value)
		case backend.I32:
			fillRow(data[int32](&o.Dst)[off:], it.n, stride, truncate(o.Value))
		default:
			var code [2]byte
			o.Dst.DType.Put(code[:], 0, o.Value)
			if o.Dst.DType.Size() == 1 {
				fillRow(data[uint8](&o.Dst)[off:], it.n, stride, code[0])
			} else {
				fillRow(data[uint16](&o.Dst)[off:], it.n, stride, binary.LittleEndian.Uint16(code[:]))
			}
		}
	}
}

func fillRow[T number | int32 | uint16 | uint8](dst []T, n, stride int, x T) {
	switch {
	case stride == 1 && x == 0 && 1/float64(x) > 0:
		clear(dst[:n])
		return
	case stride == 1 && n > 0:
		dst[0] = x
		for i := 1; i < n; i *= 2 {
			copy(dst[i:n], dst[:i])
		}
		return
	}
	for i := range n {
		dst[i*stride] = x
	}
}

type iota32 backend.Iota

func (o *iota32) run(_ *worker, lo, hi int) {
	dst := data[int32](&o.Dst)
	for i := lo; i < hi; i++ {
		dst[i*o.Dst.Strides[0]] = int32(i)
	}
}
