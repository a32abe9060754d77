package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// copyJob moves elements of one dtype as they are, converts between F32 and
// BF16 directly, and everything else through float64, which holds every F32,
// BF16 and I32 exactly.
func copyJob(o *backend.Copy) job {
	switch dst, src := o.Dst.DType, o.Src.DType; {
	case dst == src && dst.Size() == 1:
		return (*move[uint8])(o)
	case dst == src && dst.Size() == 2:
		return (*move[uint16])(o)
	case dst == src && dst.Size() == 4:
		return (*move[int32])(o)
	case dst == src:
		return (*move[float64])(o)
	case dst == backend.BF16 && src == backend.F32:
		return (*narrowCopy)(o)
	case dst == backend.F32 && src == backend.BF16:
		return (*widenCopy)(o)
	case dst == backend.E4M3 && src == backend.F32:
		return (*encodeE4M3)(o)
	case dst == backend.F32 && src == backend.E4M3:
		return (*decodeE4M3)(o)
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

// moveRow copies n elements that lie sd and ss apart.
func moveRow[T any](dst, src []T, n, sd, ss int) {
	if sd == 1 && ss == 1 {
		copy(dst[:n], src[:n])
		return
	}
	for i := range n {
		dst[i*sd] = src[i*ss]
	}
}

type narrowCopy backend.Copy

func (o *narrowCopy) run(_ *worker, lo, hi int) {
	dst, src := data[uint16](&o.Dst), data[float32](&o.Src)
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		if it.stride(0) == 1 && it.stride(1) == 1 {
			asm.ToBF16(dst[it.off[0]:], src[it.off[1]:][:it.n])
			continue
		}
		for i := range it.n {
			dst[it.off[0]+i*it.stride(0)] = bfloat16(src[it.off[1]+i*it.stride(1)])
		}
	}
}

type widenCopy backend.Copy

func (o *widenCopy) run(_ *worker, lo, hi int) {
	dst, src := data[float32](&o.Dst), data[uint16](&o.Src)
	for it := newWalk(lo, hi, &o.Dst, &o.Src); it.next(); {
		if it.stride(0) == 1 && it.stride(1) == 1 {
			asm.FromBF16(dst[it.off[0]:], src[it.off[1]:][:it.n])
			continue
		}
		for i := range it.n {
			dst[it.off[0]+i*it.stride(0)] = fromBFloat16(src[it.off[1]+i*it.stride(1)])
		}
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

// readRow reads len(x) elements of v, stride apart from off on.
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
		for i, src := 0, data[uint8](v)[off:]; i < len(x); i++ {
			x[i] = v.DType.Get(src[i*stride:], 0)
		}
	}
}

// writeRow rounds x to the elements of v, stride apart from off on.
func writeRow(v *backend.View, off, stride int, x []float64) {
	switch v.DType {
	case backend.F32:
		dst := data[float32](v)[off:]
		for i, e := range x {
			dst[i*stride] = float32(e)
		}
	case backend.F64:
		moveRow(data[float64](v)[off:], x, len(x), stride, 1)
	case backend.BF16:
		dst := data[uint16](v)[off:]
		for i, e := range x {
			dst[i*stride] = bfloat16(roundToOdd(e))
		}
	case backend.I32:
		dst := data[int32](v)[off:]
		for i, e := range x {
			dst[i*stride] = truncate(e)
		}
	default:
		dst := data[uint8](v)[off:]
		for i, e := range x {
			v.DType.Put(dst[i*stride:], 0, e)
		}
	}
}

// bfloat16 rounds to nearest, ties to even; NaN stays NaN.
func bfloat16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

func fromBFloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// roundToOdd is x in float32 with the last bit set where digits are lost, so
// that rounding the result further is rounding x once.
func roundToOdd(x float64) float32 {
	f := float32(x)
	if float64(f) == x || x != x {
		return f
	}
	u := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(x) {
		u--
	}
	return math.Float32frombits(u | 1)
}

// truncate rounds toward zero. NaN gives 0 and what is out of range the nearest
// end of it, as on CUDA devices.
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
		case backend.BF16:
			fillRow(data[uint16](&o.Dst)[off:], it.n, stride, bfloat16(roundToOdd(o.Value)))
		case backend.I32:
			fillRow(data[int32](&o.Dst)[off:], it.n, stride, truncate(o.Value))
		default:
			var code [1]byte
			o.Dst.DType.Put(code[:], 0, o.Value)
			fillRow(data[uint8](&o.Dst)[off:], it.n, stride, code[0])
		}
	}
}

func fillRow[T any](dst []T, n, stride int, x T) {
	if stride == 1 && n > 0 {
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
