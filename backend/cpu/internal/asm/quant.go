package asm

import (
	"encoding/binary"
	"math"
)

// Block-scaled integers. A block is QuantBlock numbers along k that share one
// scale; the last block of a row or column is filled up with zeros. The product
// of a row of activations and a column of weights without minimums is
//
//	acc = fma(float32(Σ qa·qw)·scaleW, scaleA, acc)
//
// over the blocks in ascending order. The sum over a block is an exact integer,
// so its order does not matter; its product with scaleW is rounded to float32,
// and a zero is +0.
//
// There are three formats of weights, packed in panels of PanelWidth columns:
//
//   - Q8: 8-bit integers and an F16 scale, 34 bytes per block (see PackQ8).
//   - Q4: 4-bit integers and an F16 scale, 18 bytes per block (see PackQ4).
//   - Q4_1: Q4 with an F16 minimum, 20 bytes per block (see PackQ4_1). GemmQ4_1
//     documents its product.
//
// All are multiplied by the same activations, 8-bit integers with a float32
// scale (see RowsQ8). A NaN or an infinity makes the scale of its block NaN,
// and so every product with the block; so does a scale beyond the range of F16.
// Packing and quantising give the same bits on every path.

// QuantBlock is the number of elements along k that share a scale.
const QuantBlock = 32

// quantBlocks returns how many blocks cover k elements.
func quantBlocks(k int) int { return (k + QuantBlock - 1) / QuantBlock }

// rowBlockBytes is the size of a block of activations: 32 int8, the scale, and
// −128 times the sum of the integers. Kernels that store Q8 weights with 128
// added start their sums from the latter, and minimums are multiplied by it.
const (
	rowBlockBytes = QuantBlock + 8
	rowScale      = QuantBlock
	rowSum        = QuantBlock + 4
)

// RowsBytesQ8 returns the length of m quantised rows of k activations.
func RowsBytesQ8(m, k int) int { return m * quantBlocks(k) * rowBlockBytes }

// RowsQ8 quantises the M×K matrix a, with element (i,p) at a[i*ars+p*acs], row
// by row: q = round(x·127/max|x|), ties to even, with the scale max|x|/127 for
// each block of QuantBlock. A block whose largest magnitude is below 2⁻¹²⁰ is
// treated as zeros; one with a NaN or an infinity gets the scale NaN.
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
	infBits  = 0x7f800000        // bits of the float32 infinity
	tinyBits = (127 - 120) << 23 // bits of 2⁻¹²⁰: from there on 127/max|x| is finite
	nanBits  = 0x7fc00000        // bits of the float32 NaN that marks a block as not finite
)

// quantRowGeneric quantises len(x)/QuantBlock whole blocks.
func quantRowGeneric(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[rowBlockBytes:], x[QuantBlock:] {
		var size uint32
		for _, v := range x[:QuantBlock] {
			size = max(size, math.Float32bits(v)&^(1<<31)) // NaN is greater than infinity
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

// roundToInt rounds |x| < 2²² to the nearest integer, ties to even, by adding
// 1.5·2²³: the last bit of numbers of that size is 1.
func roundToInt(x float32) int32 {
	const magic = 3 << 22
	return int32(math.Float32bits(float32(x)+magic)) - 0x4b400000
}

// DotLoopInt8 runs n rounds of independent 8-bit dot products in registers, the
// best case of GemmQ8's inner loop, and returns the number of operations, two
// for each multiply-add. Timing it measures the peak of the path. On a path
// without such an instruction it returns 0 at once.
func DotLoopInt8(n int) (ops int) { return dotLoopInt8(n) }
