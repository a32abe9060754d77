package asm

import "math"

// tileSumBF16 defines an element of GemmBF16 on path amx: sum plus the product
// of n pairs of a and b. It models TDPBF16PS, which treats subnormal operands
// as zero and flushes subnormal results to zero.
func tileSumBF16(sum float32, a, b []uint16) float32 {
	for len(a) > 0 {
		n := min(32, len(a))
		var even, odd float32
		for p := 0; p < n; p += 2 {
			even = fmaFlush(a[p], b[p], even)
			if p+1 < n {
				odd = fmaFlush(a[p+1], b[p+1], odd)
			}
		}
		sum = flush(flush(sum) + flush(even+odd))
		a, b = a[n:], b[n:]
	}
	return sum
}

// fmaFlush returns x·y + z, rounded once. The product of two bf16 numbers is
// exact in float64, and the sum is rounded to odd there, so that rounding to
// float32 gives the same result as if the sum were exact.
func fmaFlush(x, y uint16, z float32) float32 {
	p := float64(flush(fromBF16(x))) * float64(flush(fromBF16(y)))
	w := float64(z)
	s := p + w
	if d := s - p; !math.IsInf(s, 0) && !math.IsNaN(s) {
		if err := (p - (s - d)) + (w - d); err != 0 {
			bits := math.Float64bits(s)
			if (err > 0) != (s > 0) {
				bits--
			}
			s = math.Float64frombits(bits | 1)
		}
	}
	return flush(float32(s))
}

// flush returns x, or a zero of the same sign if x is subnormal.
func flush(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}
