package asm

import (
	"encoding/binary"
	"math"
)

// Block-scaled integers. A block is QuantBlock numbers along k that share one
// scale; numbers missing from the last block of a row or column are zeros. The
// product of a row of activations and a column of weights without minimums is
//
//	acc = fma(float32(Σ qa·qw)·scaleW, scaleA, acc)
//
// over the blocks in ascending order. The sum over a block is an exact integer,
// so how a kernel forms it changes nothing; its product with scaleW is rounded to
// float32, and zero is +0.
//
// Weights come in three formats, packed in panels of PanelWidth columns:
//
//   - Q8: 8-bit integers and an F16 scale, 34 bytes a block (see PackQ8).
//   - Q4: 4-bit integers and an F16 scale, 18 bytes a block (see PackQ4).
//   - Q4_1: Q4 with an F16 minimum, 20 bytes a block (see PackQ4_1), whose product is
//     that of GemmQ4_1.
//
// All multiply the same activations, 8-bit integers with a float32 scale (see
// RowsQ8). A NaN or an infinity makes its block's scale NaN, and so every product
// that the block enters; so does a scale beyond F16's range. Packing and
// quantising give the same bits on every path.

// QuantBlock is the number of elements along k that share a scale.
const QuantBlock = 32

// quantBlocks returns how many blocks cover k elements.
func quantBlocks(k int) int { return (k + QuantBlock - 1) / QuantBlock }

// rowBlockBytes is the size of a block of activations: 32 int8, the scale, and
// −128 times the sum of the integers, where kernels start that store Q8 weights
// with 128 added, and from which the minimums are weighted.
const (
	rowBlockBytes = QuantBlock + 8
	rowScale      = QuantBlock
	rowSum        = QuantBlock + 4
)

// RowsBytesQ8 returns the length of m quantised rows of k activations.
func RowsBytesQ8(m, k int) int { return m * quantBlocks(k) * rowBlockBytes }

// RowsQ8 quantises the M×K matrix a, element (i,p) at a[i*ars+p*acs], each row by
// itself: q = round(x·127/max|x|), ties to even, with the scale max|x|/127 for
// each block of QuantBlock. A block whose largest magnitude is below 2⁻¹²⁰ counts
// as zeros; one that holds a NaN or an infinity gets the scale NaN.
//
// Row i is dst[i*RowsBytesQ8(1, k):]. Each block of a row takes 40 bytes: 32
// int8, then in little-endian order the float32 scale and the int32 −128·Σq.
func RowsQ8(dst []byte, a []float32, m, k, ars, acs int) {
	if m <= 0 || k <= 0 {
		return
	}
	need("RowsQ8", "dst", len(dst), RowsBytesQ8(m, k))
	need("RowsQ8", "a", len(a), extent(m, k, ars, acs))
	step := RowsBytesQ8(1, k)
	for i := range m {
		row, x := dst[i*step:][:step], a[i*ars:]
		whole := 0
		if acs == 1 {
			whole = k / QuantBlock
			if whole > 0 {
				quantRow(row, x[:whole*QuantBlock])
			}
		}
		for p := whole * QuantBlock; p < k; p += QuantBlock {
			var block [QuantBlock]float32
			for q := range min(QuantBlock, k-p) {
				block[q] = x[(p+q)*acs]
			}
			quantRow(row[p/QuantBlock*rowBlockBytes:], block[:])
		}
	}
}

const (
	infBits  = 0x7f800000        // of the float32 infinity
	tinyBits = (127 - 120) << 23 // of 2⁻¹²⁰: above it 127/max|x| is finite
	nanBits  = 0x7fc00000        // of the float32 NaN that marks a block
)

// quantRowGeneric quantises len(x)/QuantBlock whole blocks.
func quantRowGeneric(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[rowBlockBytes:], x[QuantBlock:] {
		var size uint32
		for _, v := range x[:QuantBlock] {
			size = max(size, math.Float32bits(v)&^(1<<31)) // NaN is above infinity
		}
		block := dst[:rowBlockBytes]
		clear(block)
		switch {
		case size >= infBits:
			binary.LittleEndian.PutUint32(block[rowScale:], nanBits)
			continue
		case size < tinyBits:
			continue
		}
		largest := math.Float32frombits(size)
		inv := 127 / largest
		var sum int32
		for p, v := range x[:QuantBlock] {
			q := roundToInt(v * inv)
			block[p] = byte(q)
			sum += q
		}
		binary.LittleEndian.PutUint32(block[rowScale:], math.Float32bits(largest/127))
		binary.LittleEndian.PutUint32(block[rowSum:], uint32(-128*sum))
	}
}

// roundToInt rounds |x| < 2²² to nearest, ties to even: the last bit of numbers
// near 1.5·2²³ is 1.
func roundToInt(x float32) int32 {
	const magic = 3 << 22
	return int32(math.Float32bits(float32(x)+magic)) - 0x4b400000
}

// DotLoopInt8 runs n rounds of independent 8-bit dot products in registers, as
// the inner loop of GemmQ8 would at best, and returns the number of operations,
// two for each multiplication and addition: timing it measures the peak of the
// path. A path without such an instruction returns 0 at once.
func DotLoopInt8(n int) (ops int) { return dotLoopInt8(n) }
