package asm

import (
	"encoding/binary"
	"math"
)

// blockBytesQ4_1 is the size of a block of 16 columns: scales and integers as
// in a block of Q4, then minimums.
const (
	blockBytesQ4_1 = blockBytesQ4 + minsBytes
	minsBytes      = 2 * PanelWidth
	minsAt         = blockBytesQ4
)

// PanelBytesQ4_1 returns the size of one panel of k rows: 20 bytes for each block of a
// column.
func PanelBytesQ4_1(k int) int { return quantBlocks(k) * blockBytesQ4_1 }

// PackedBytesQ4_1 returns the size of the packed form of a K×N matrix.
func PackedBytesQ4_1(k, n int) int { return (n + PanelWidth - 1) / PanelWidth * PanelBytesQ4_1(k) }

// PackQ4_1 quantises the K×N matrix b, with element (p,j) at b[p*rs+j*cs], into
// panels like GGML's quantize_row_q4_1: each block of a column has the scale d
// = F16((max−min)/15), the minimum m = F16(min) and integers from 0 to 15, the
// nearest to (w−min)·15/(max−min), halves rounded up. A block with a NaN, an
// infinity or a number beyond the range of F16 gets the scale NaN, the minimum
// 0 and zeros.
//
// A panel's block of 32 k takes 320 bytes: 16 F16 scales, 256 bytes of integers
// in the order of PackQ4, and 16 F16 minimums. Missing columns of the last
// panel have zeros.
//
// Panels are independent, as for PackQ8.
func PackQ4_1(dst []byte, b []float32, k, n, rs, cs int) {
	packQuant("PackQ4_1", dst, b, k, n, rs, cs, blockBytesQ4_1, packBlockQ4_1)
}

// packBlockQ4_1 writes one block.
func packBlockQ4_1(dst []byte, tile *tileQ) {
	var codes codesQ
	for j := range PanelWidth {
		least, most, odd := tile[j], tile[j], false
		for p := range QuantBlock {
			w := tile[p*PanelWidth+j]
			least, most = min(least, w), max(most, w) // NaN if one of the numbers is NaN
			odd = odd || w != w
		}
		d := (most - least) / 15
		scale, minimum := toF16(d), toF16(least)
		if odd || !isFinite(scale) || !isFinite(minimum) {
			scale, minimum = nanF16, 0
		} else if d != 0 {
			inv := 1 / d
			for p := range QuantBlock {
				x := float32(tile[p*PanelWidth+j]-least) * inv
				codes[p*PanelWidth+j] = byte(min(int32(float32(x)+0.5), 15))
			}
		}
		binary.LittleEndian.PutUint16(dst[2*j:], scale)
		binary.LittleEndian.PutUint16(dst[minsAt+2*j:], minimum)
	}
	putNibbles(dst[scalesBytes:], &codes, 0)
}

// isFinite reports whether an F16 is neither infinite nor NaN.
func isFinite(h uint16) bool { return h&0x7c00 != 0x7c00 }

// UnpackQ4_1 decodes columns first to first+n of a packed matrix of K rows to
// the weights that the product uses, q·d rounded and then plus m: element
// (p,first+j) goes to dst[p*rs+j*cs].
func UnpackQ4_1(dst []float32, src []byte, k, first, n, rs, cs int) {
	unpackQuant("UnpackQ4_1", dst, src, k, first, n, rs, cs, blockBytesQ4_1, func(block []byte, p, j int) float32 {
		q := block[scalesBytes+p/8*64+4*j+p%4] >> (p % 8 & 4) & 15
		return float32(float32(q)*scaleAt(block, j)) + scaleAt(block[minsAt:], j)
	})
}

// GemmQ4_1 is GemmQ8 for B packed by PackQ4_1, with the same activations. Each
// element of C is one chain over blocks of k in ascending order,
//
//	c = fma(float32(Σ qa·qw·d + Σ qa·m), scaleA, c)
//
// where the sum in parentheses is exact before it is rounded, on every path.
// Columns j0 to j1, with j0 a multiple of PanelWidth, are GemmQ4_1(m, j1-j0, k,
// rows, bp[j0/16*PanelBytesQ4_1(k):], c[j0:], …).
func GemmQ4_1(m, n, k int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	if checkQuant("GemmQ4_1", m, n, k, rows, bp, c, ldc, accumulate, PackedBytesQ4_1(k, n)) {
		gemmQ4_1(m, n, quantBlocks(k), rows, bp, c, ldc, accumulate)
	}
}

func gemmQ4_1Generic(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	gemmQuantGeneric(m, n, blocks, rows, bp, c, ldc, accumulate, blockBytesQ4_1, func(out []float32, x, w []byte) {
		var sums [PanelWidth]int32
		for t := range QuantBlock / 8 {
			lo, hi := x[8*t:][:4], x[8*t+4:][:4]
			codes := w[scalesBytes+64*t:][:64]
			for i := range 4 {
				a0, a1 := int32(int8(lo[i])), int32(int8(hi[i]))
				for j := range sums {
					q := int32(codes[4*j+i])
					sums[j] += a0*(q&15) + a1*(q>>4)
				}
			}
		}
		scale, total := rowScaleOf(x), int32(binary.LittleEndian.Uint32(x[rowSum:]))/-128
		for j := range out {
			d, least := binary.LittleEndian.Uint16(w[2*j:]), binary.LittleEndian.Uint16(w[minsAt+2*j:])
			out[j] = fma(twoTerms(sums[j], d, total, least), scale, out[j])
		}
	})
}

// twoTerms returns a·x + b·y for F16 x and y, rounded once. |a| must be below
// 2¹⁶ and |b| below 2¹².
func twoTerms(a int32, x uint16, b int32, y uint16) float32 {
	fx, fy := fromF16(x), fromF16(y)
	if isFinite(x) && isFinite(y) {
		// Finite F16 numbers are multiples of 2⁻²⁴ and below 2¹⁶, so the sum is
		// a multiple of 2⁻²⁴ and, in that unit, below 2⁵⁷.
		const unit = 1 << 24
		if sum := int64(a)*int64(fx*unit) + int64(b)*int64(fy*unit); sum != 0 {
			return float32(sum) * (1.0 / unit)
		}
	}
	return float32(float32(a)*fx) + float32(float32(b)*fy) // NaN, an infinity, or a zero with its sign
}

// fma returns x·y + z, rounded once. The product is exact in float64. A sum
// that is not exact is rounded to odd in float64, so that rounding it to
// float32 gives the same result as if it were exact.
func fma(x, y, z float32) float32 {
	product, addend := float64(x)*float64(y), float64(z)
	sum := product + addend
	part := sum - product
	rest := float64(product-float64(sum-part)) + float64(addend-part) // the rounding error of the sum: Knuth's TwoSum
	if bits := math.Float64bits(sum); rest != 0 && rest == rest && bits&1 == 0 {
		if (rest > 0) == (sum > 0) {
			bits++
		} else {
			bits--
		}
		sum = math.Float64frombits(bits)
	}
	return float32(sum)
}
