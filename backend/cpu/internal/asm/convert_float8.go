package asm

import "math"

// The 8-bit formats are those of the OCP 8-bit Floating Point Specification
// (OFP8, revision 1.0, 2023). The conversions give the same bits on every path.

// ToE4M3 rounds x to E4M3, to nearest with ties to even: 1 sign bit, 4 exponent
// bits with bias 7, 3 mantissa bits, subnormals down to 2^-9, no infinities.
// Numbers beyond ±448, infinities included, become ±448; NaN becomes 0x7f.
func ToE4M3(dst []uint8, x []float32) {
	need("ToE4M3", "dst", len(dst), len(x))
	toE4M3s(dst[:len(x)], x)
}

const (
	maxE4M3       = 448
	minNormalE4M3 = 1.0 / 64
	nanFloat8     = 0x7f
)

func toE4M3Generic(dst []uint8, x []float32) {
	for i, v := range x {
		dst[i] = toE4M3(v)
	}
}

func toE4M3(x float32) uint8 {
	if x != x {
		return nanFloat8
	}
	u := math.Float32bits(x)
	sign := uint8(u >> 24 & 0x80)
	size := min(math.Float32frombits(u&^(1<<31)), maxE4M3)
	if size < minNormalE4M3 {
		// The last bit of numbers near 2^14 is 2^-9, like that of E4M3
		// subnormals.
		return sign | uint8(math.Float32bits(size+(1<<14)))
	}
	// Round to 3 of 23 bits of mantissa, then change the bias from 127 to 7.
	u = math.Float32bits(size)
	return sign | uint8((u+0x7ffff+u>>20&1)>>20-(127-7)<<3)
}

// FromE4M3 converts the E4M3 numbers x to float32; 0x7f and 0xff become NaN.
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
	// Moved to the exponent and mantissa bits of a float32, those of the code
	// give 2^-120 times its value, subnormals included.
	sized := math.Float32frombits(uint32(x&0x80)<<24 | uint32(x&0x7f)<<20)
	return sized * 0x1p120
}

// ToE5M2 rounds x to E5M2, to nearest with ties to even: 1 sign bit, 5 exponent
// bits with bias 15, 2 mantissa bits, subnormals down to 2^-16. Finite numbers
// beyond ±57344 become ±57344; infinities stay infinities, and NaN becomes
// 0x7f.
func ToE5M2(dst []uint8, x []float32) {
	need("ToE5M2", "dst", len(dst), len(x))
	toE5M2s(dst[:len(x)], x)
}

const (
	maxE5M2       = 57344
	minNormalE5M2 = 1.0 / (1 << 14)
	infE5M2       = 0x7c
)

func toE5M2Generic(dst []uint8, x []float32) {
	for i, v := range x {
		dst[i] = toE5M2(v)
	}
}

func toE5M2(x float32) uint8 {
	if x != x {
		return nanFloat8
	}
	u := math.Float32bits(x)
	sign := uint8(u >> 24 & 0x80)
	if u&^(1<<31) == infBits {
		return sign | infE5M2
	}
	size := min(math.Float32frombits(u&^(1<<31)), maxE5M2)
	if size < minNormalE5M2 {
		// The last bit of numbers near 2^7 is 2^-16, like that of E5M2
		// subnormals.
		return sign | uint8(math.Float32bits(size+(1<<7)))
	}
	// Round to 2 of 23 bits of mantissa, then change the bias from 127 to 15.
	u = math.Float32bits(size)
	return sign | uint8((u+0xfffff+u>>21&1)>>21-(127-15)<<2)
}

// FromE5M2 converts the E5M2 numbers x to float32.
func FromE5M2(dst []float32, x []uint8) {
	need("FromE5M2", "dst", len(dst), len(x))
	fromE5M2s(dst[:len(x)], x)
}

func fromE5M2Generic(dst []float32, x []uint8) {
	for i, v := range x {
		dst[i] = fromF16(uint16(v) << 8) // E5M2 is the upper half of F16
	}
}
