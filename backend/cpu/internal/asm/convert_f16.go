package asm

import "math"

// ToF16 rounds x to F16 (IEEE 754 binary16), to nearest with ties to even.
// Numbers that are too large become infinities, and NaN stays NaN.
func ToF16(dst []uint16, x []float32) {
	need("ToF16", "dst", len(dst), len(x))
	toF16s(dst[:len(x)], x)
}

func toF16Generic(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = toF16(v)
	}
}

// nanF16 is the NaN that marks a block of weights as not finite.
const nanF16 = 0x7e00

func toF16(x float32) uint16 {
	u := math.Float32bits(x)
	sign := uint16(u >> 16 & 0x8000)
	u &^= 1 << 31
	switch {
	case u > infBits:
		return sign | nanF16 | uint16(u>>13&0x3ff) // a quiet NaN, whichever bits are lost
	case u >= 0x477ff000: // 65520, halfway between 65504, the largest number, and 65536
		return sign | 0x7c00
	case u < 0x38800000: // 2⁻¹⁴, the smallest normal number
		// The last bit of numbers near 0.5 is 2⁻²⁴, like that of F16
		// subnormals.
		return sign | uint16(math.Float32bits(math.Float32frombits(u)+0.5))
	}
	// Round to 10 of 23 bits of mantissa, then change the bias from 127 to 15.
	return sign | uint16((u+0xfff+u>>13&1)>>13-(127-15)<<10)
}

// FromF16 converts the F16 numbers x to float32.
func FromF16(dst []float32, x []uint16) {
	need("FromF16", "dst", len(dst), len(x))
	fromF16s(dst[:len(x)], x)
}

func fromF16Generic(dst []float32, x []uint16) {
	for i, v := range x {
		dst[i] = fromF16(v)
	}
}

func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	u := uint32(h&0x7fff) << 13
	switch {
	case h&0x7c00 == 0x7c00:
		u |= infBits
		if h&0x3ff != 0 {
			u |= 1 << 22 // make the NaN quiet
		}
	case h&0x7c00 == 0:
		u = math.Float32bits(float32(h&0x3ff) * (1.0 / (1 << 24)))
	default:
		u += (127 - 15) << 23
	}
	return math.Float32frombits(sign | u)
}
