package asm

import "math"

// The conversions give the same bits on every kernel path.

// ToBF16 rounds x to bf16, to nearest with ties to even. Numbers that are too
// large become infinities, and NaN stays NaN.
func ToBF16(dst []uint16, x []float32) {
	need("ToBF16", "dst", len(dst), len(x))
	toBF16s(dst[:len(x)], x)
}

func toBF16Generic(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = toBF16(v)
	}
}

func toBF16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16) | 0x40 // a quiet NaN, whichever bits are lost
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// FromBF16 converts the bf16 numbers x to float32.
func FromBF16(dst []float32, x []uint16) {
	need("FromBF16", "dst", len(dst), len(x))
	fromBF16s(dst[:len(x)], x)
}

func fromBF16Generic(dst []float32, x []uint16) {
	for i, v := range x {
		dst[i] = fromBF16(v)
	}
}

func fromBF16(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) }

// FromBF16Rows is [FromBF16] for rows of d elements, row i from x[i*stride] to
// dst[i*dstStride]. It prefetches rows, since short rows that lie far apart are
// slow to load from memory.
func FromBF16Rows(dst []float32, dstStride int, x []uint16, stride, rows, d int) {
	if rows <= 0 || d <= 0 {
		return
	}
	needRows("FromBF16Rows", "dst", rows, d, dstStride)
	need("FromBF16Rows", "dst", len(dst), extent(rows, d, dstStride, 1))
	need("FromBF16Rows", "x", len(x), extent(rows, d, stride, 1))
	fromBF16Rows(dst, dstStride, x, stride, rows, d)
}

// ToBF16Rows is [ToBF16] for rows of d elements, row i from x[i*stride] to
// dst[i*dstStride]. It prefetches the cache lines of dst.
func ToBF16Rows(dst []uint16, dstStride int, x []float32, stride, rows, d int) {
	if rows <= 0 || d <= 0 {
		return
	}
	needRows("ToBF16Rows", "dst", rows, d, dstStride)
	need("ToBF16Rows", "dst", len(dst), extent(rows, d, dstStride, 1))
	need("ToBF16Rows", "x", len(x), extent(rows, d, stride, 1))
	toBF16Rows(dst, dstStride, x, stride, rows, d)
}

func fromBF16RowsGeneric(dst []float32, dstStride int, x []uint16, stride, rows, d int) {
	for i := range rows {
		fromBF16Generic(dst[i*dstStride:][:d], x[i*stride:][:d])
	}
}
