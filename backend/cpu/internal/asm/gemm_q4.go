package asm

import (
	"encoding/binary"
	"math"
)

// blockBytesQ4 is the size of a block of 16 columns: scales, then integers.
const blockBytesQ4 = scalesBytes + QuantBlock*PanelWidth/2

// PanelBytesQ4 returns the size of one panel of k rows: 18 bytes for each block
// of a column.
func PanelBytesQ4(k int) int { return quantBlocks(k) * blockBytesQ4 }

// PackedBytesQ4 returns the size of the packed form of a K×N matrix.
func PackedBytesQ4(k, n int) int { return (n + PanelWidth - 1) / PanelWidth * PanelBytesQ4(k) }

// PackQ4 quantises the K×N matrix b, with element (p,j) at b[p*rs+j*cs], into
// panels. Each block of a column has an F16 scale d, which may be negative, and
// integers q from -8 to 7, the nearest to w·(1/d). d is chosen from a few
// candidates around max|w|/8 to minimise the squared error. A block with a NaN,
// an infinity or a scale beyond 65504 gets the scale NaN and zeros.
//
// A panel's block of 32 k takes 288 bytes: 16 F16 scales, then 4 rows of 64
// bytes. Byte 4j+i of row t holds q+8 of element (8t+i, j) in its lower half
// and q+8 of element (8t+4+i, j) in its upper half. Missing columns of the last
// panel have the scale 0.
//
// Panels are independent, as for PackQ8.
func PackQ4(dst []byte, b []float32, k, n, rs, cs int) {
	packQuant("PackQ4", dst, b, k, n, rs, cs, blockBytesQ4, packBlockQ4)
}

// scalesQ4 are the scales that PackQ4 tries, in units of max|w|. One of the
// first two is that of GGML's Q4_0; on normally distributed weights the others
// lower the error by 5%.
var scalesQ4 = [...]float32{
	1 / 8.0, -1 / 8.0, 1 / 7.2, -1 / 7.2, 1 / 7.6, -1 / 7.6,
	1 / 8.4, -1 / 8.4, 1 / 8.8, -1 / 8.8, 1 / 9.2, -1 / 9.2,
}

// packBlockQ4 writes one block. It may change the tile.
func packBlockQ4(dst []byte, tile *tileQ) {
	var sizes [PanelWidth]uint32
	columnSizes(tile, &sizes)
	var bad [PanelWidth]bool
	for j, size := range sizes {
		if toF16(math.Float32frombits(size)/8) >= 0x7c00 {
			bad[j] = true
			sizes[j] = 0
			tile.clearColumn(j)
		}
	}
	var best [PanelWidth]uint16
	var d, inv, bestInv, errs, bestErrs [PanelWidth]float32
	for try, s := range scalesQ4 {
		var half [PanelWidth]uint16
		for j, size := range sizes {
			half[j] = toF16(s * math.Float32frombits(size))
			d[j] = fromF16(half[j])
			inv[j] = 0
			if d[j] != 0 {
				inv[j] = 1 / d[j]
			}
		}
		errorsQ4(tile, &d, &inv, &errs)
		for j := range errs {
			if try == 0 || errs[j] < bestErrs[j] {
				best[j], bestInv[j], bestErrs[j] = half[j], inv[j], errs[j]
			}
		}
	}
	for j, h := range best {
		if bad[j] {
			h = nanF16
		}
		binary.LittleEndian.PutUint16(dst[2*j:], h)
	}
	roundBlockQ4(dst[scalesBytes:], tile, &bestInv)
}

// errorsQ4Generic sets errs to the squared errors of the columns of a tile for
// the scales d. inv holds the inverses of d.
func errorsQ4Generic(tile *tileQ, d, inv, errs *[PanelWidth]float32) {
	*errs = [PanelWidth]float32{}
	for p := range QuantBlock {
		for j := range errs {
			w := tile[p*PanelWidth+j]
			e := w - float32(float32(roundToQ4(w*inv[j]))*d[j])
			errs[j] += float32(e * e)
		}
	}
}

func roundToQ4(x float32) int32 { return max(min(roundToInt(x), 7), -8) }

// roundBlockQ4Generic multiplies the columns of a tile by inv and rounds them.
func roundBlockQ4Generic(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	for t := range QuantBlock / 8 {
		for j, s := range inv {
			for i := range 4 {
				lo := roundToQ4(tile[(8*t+i)*PanelWidth+j] * s)
				hi := roundToQ4(tile[(8*t+4+i)*PanelWidth+j] * s)
				dst[64*t+4*j+i] = byte(lo+8) | byte(hi+8)<<4
			}
		}
	}
}

// UnpackQ4 decodes columns first to first+n of a packed matrix of K rows to the
// weights that the product uses, q·d: element (p,first+j) goes to
// dst[p*rs+j*cs].
func UnpackQ4(dst []float32, src []byte, k, first, n, rs, cs int) {
	unpackQuant("UnpackQ4", dst, src, k, first, n, rs, cs, blockBytesQ4, func(block []byte, p, j int) float32 {
		return float32(int(block[scalesBytes+p/8*64+4*j+p%4]>>(p%8&4)&15)-8) * scaleAt(block, j)
	})
}

// GemmQ4 is GemmQ8 for B packed by PackQ4: it has the same activations and the
// same chain of blocks. Columns j0 to j1, with j0 a multiple of PanelWidth, are
// GemmQ4(m, j1-j0, k, rows, bp[j0/16*PanelBytesQ4(k):], c[j0:], …).
func GemmQ4(m, n, k int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	if checkQuant("GemmQ4", m, n, k, rows, bp, c, ldc, accumulate, PackedBytesQ4(k, n)) {
		gemmQ4(m, n, quantBlocks(k), rows, bp, c, ldc, accumulate)
	}
}

func gemmQ4Generic(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	gemmQuantGeneric(m, n, blocks, rows, bp, c, ldc, accumulate, blockBytesQ4, withScales(func(a,
		block []byte) (sums [PanelWidth]int32) {
		for t := range QuantBlock / 8 {
			lo, hi := a[8*t:][:4], a[8*t+4:][:4]
			w := block[scalesBytes+64*t:][:64]
			for i := range 4 {
				a0, a1 := int32(int8(lo[i])), int32(int8(hi[i]))
				for j := range sums {
					q := int32(w[4*j+i])
					sums[j] += a0*(q&15-8) + a1*(q>>4-8)
				}
			}
		}
		return sums
	}))
}
