package asm

import "math"

// nanF16 is the NaN that marks a block of weights.
const nanF16 = 0x7e00

// toF16 rounds x to F16, to nearest with ties to even. What is too large becomes
// an infinity.
func toF16(x float32) uint16 {
	u := math.Float32bits(x)
	sign := uint16(u >> 16 & 0x8000)
	u &^= 1 << 31
	switch {
	case u > infBits:
		return sign | nanF16
	case u >= 0x477ff000: // 65520, halfway to the first number out of range
		return sign | 0x7c00
	case u < 0x38800000: // 2⁻¹⁴, the least normal number
		// The last bit of numbers near 0.5 is 2⁻²⁴, as that of subnormals.
		return sign | uint16(math.Float32bits(math.Float32frombits(u)+0.5))
	}
	// Round to 10 of 23 bits of mantissa, then change the bias from 127 to 15.
	return sign | uint16((u+0xfff+u>>13&1)>>13-(127-15)<<10)
}

// fromF16 returns the value of h.
func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	u := uint32(h&0x7fff) << 13
	switch {
	case h&0x7c00 == 0x7c00:
		u |= infBits
	case h&0x7c00 == 0:
		u = math.Float32bits(float32(h&0x3ff) * (1.0 / (1 << 24)))
	default:
		u += (127 - 15) << 23
	}
	return math.Float32frombits(sign | u)
}
