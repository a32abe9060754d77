package asm

import "math"

// The conversions give the same bits on every path.

// ToBF16 rounds x to bf16, to nearest with ties to even; what is too large for
// it becomes an infinity, and NaN stays NaN.
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
		return uint16(u>>16) | 0x40 // quiet, whatever bits are lost
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// FromBF16 sets dst to the bf16 numbers x.
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
// dst[i*dstStride]. It asks for rows ahead of time: short ones far apart are slow to
// come from memory.
func FromBF16Rows(dst []float32, dstStride int, x []uint16, stride, rows, d int) {
	if rows <= 0 || d <= 0 {
		return
	}
	needRows("FromBF16Rows", "dst", rows, d, dstStride)
	need("FromBF16Rows", "dst", len(dst), extent(rows, d, dstStride, 1))
	need("FromBF16Rows", "x", len(x), extent(rows, d, stride, 1))
	fromBF16Rows(dst, dstStride, x, stride, rows, d)
}

func fromBF16RowsGeneric(dst []float32, dstStride int, x []uint16, stride, rows, d int) {
	for i := range rows {
		fromBF16Generic(dst[i*dstStride:][:d], x[i*stride:][:d])
	}
}

// ToE4M3 rounds x to the 8-bit format E4M3 of "FP8 Formats for Deep Learning"
// (Micikevicius et al., 2022), to nearest with ties to even: 1 sign bit, 4
// exponent bits of bias 7, 3 bits of mantissa, subnormals down to 2^-9, no
// infinities. What is beyond ±448, infinities included, becomes ±448; NaN
// becomes 0x7f.
func ToE4M3(dst []uint8, x []float32) {
	need("ToE4M3", "dst", len(dst), len(x))
	toE4M3s(dst[:len(x)], x)
}

const (
	maxE4M3       = 448
	minNormalE4M3 = 1.0 / 64
	nanE4M3       = 0x7f
)

func toE4M3Generic(dst []uint8, x []float32) {
	for i, v := range x {
		dst[i] = toE4M3(v)
	}
}

func toE4M3(x float32) uint8 {
	if x != x {
		return nanE4M3
	}
	u := math.Float32bits(x)
	sign := uint8(u >> 24 & 0x80)
	size := min(math.Float32frombits(u&^(1<<31)), maxE4M3)
	if size < minNormalE4M3 {
		// The last bit of numbers near 2^14 is 2^-9, as that of subnormals.
		return sign | uint8(math.Float32bits(size+(1<<14)))
	}
	// Round to 3 of 23 bits of mantissa, then change the bias from 127 to 7.
	u = math.Float32bits(size)
	return sign | uint8((u+0x7ffff+u>>20&1)>>20-(127-7)<<3)
}

// FromE4M3 sets dst to the E4M3 numbers x; 0x7f and 0xff become NaN.
func FromE4M3(dst []float32, x []uint8) {
	need("FromE4M3", "dst", len(dst), len(x))
	fromE4M3s(dst[:len(x)], x)
}

func fromE4M3Generic(dst []float32, x []uint8) {
	for i, v := range x {
		dst[i] = fromE4M3(v)
	}
}

func fromE4M3(x uint8) float32 {
	if x|0x80 == 0xff {
		return math.Float32frombits(uint32(x&0x80)<<24 | 0x7fc00000)
	}
	// In the place of a float32's, exponent and mantissa give 2^-120 times the
	// value, subnormals included.
	sized := math.Float32frombits(uint32(x&0x80)<<24 | uint32(x&0x7f)<<20)
	return sized * 0x1p120
}
