package asm

import (
	"encoding/binary"
	"math"
)

// blockBytesQ8 is the size of a block of 16 columns: scales, then integers.
const blockBytesQ8 = scalesBytes + QuantBlock*PanelWidth

// PanelBytesQ8 returns the size of one panel of k rows: 34 bytes for each block
// of a column.
func PanelBytesQ8(k int) int { return quantBlocks(k) * blockBytesQ8 }

// PackedBytesQ8 returns the size of the packed form of a K×N matrix.
func PackedBytesQ8(k, n int) int { return (n + PanelWidth - 1) / PanelWidth * PanelBytesQ8(k) }

// PackQ8 quantises the K×N matrix b, with element (p,j) at b[p*rs+j*cs], into
// panels. Each block of a column has the scale d = F16(max|w|/127) and the
// integers q = round(w·(1/d)), ties to even, clipped at 127. If d is subnormal
// and the nearest F16 would clip, d is the next F16 above it. A block with a
// NaN, an infinity or a scale beyond 65504 gets the scale NaN and zeros.
//
// A panel's block of 32 k takes 544 bytes: 16 F16 scales, then 8 rows of 64
// bytes. Byte 4j+i of row t holds q+128 of element (4t+i, j). Missing columns
// of the last panel have the scale 0.
//
// Panels are independent: columns j0 to j1, with j0 a multiple of PanelWidth,
// are packed by PackQ8(dst[j0/16*PanelBytesQ8(k):], b[j0*cs:], k, j1-j0, rs,
// cs).
func PackQ8(dst []byte, b []float32, k, n, rs, cs int) {
	packQuant("PackQ8", dst, b, k, n, rs, cs, blockBytesQ8, packBlockQ8)
}

// packBlockQ8 writes one block. It may change the tile.
func packBlockQ8(dst []byte, tile *tileQ) {
	var sizes [PanelWidth]uint32
	columnSizes(tile, &sizes)
	var inv [PanelWidth]float32
	for j, size := range sizes {
		h := scaleQ8(math.Float32frombits(size))
		binary.LittleEndian.PutUint16(dst[2*j:], h)
		switch h {
		case 0:
		case nanF16:
			tile.clearColumn(j)
		default:
			inv[j] = 1 / fromF16(h)
		}
	}
	roundBlockQ8(dst[scalesBytes:], tile, &inv)
}

// scaleQ8 returns the scale of a block, given its largest magnitude.
func scaleQ8(largest float32) uint16 {
	if largest == 0 {
		return 0
	}
	h := toF16(largest / 127)
	if h >= 0x7c00 {
		return nanF16
	}
	if 127.5*fromF16(h) <= largest {
		h++
	}
	return h
}

// roundBlockQ8Generic multiplies the columns of a tile by inv and rounds them.
func roundBlockQ8Generic(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	for p := range QuantBlock {
		for j, s := range inv {
			q := min(roundToInt(tile[p*PanelWidth+j]*s), 127)
			dst[p/4*64+4*j+p%4] = byte(q + 128)
		}
	}
}

// UnpackQ8 decodes columns first to first+n of a packed matrix of K rows to the
// weights that the product uses, q·d: element (p,first+j) goes to
// dst[p*rs+j*cs].
func UnpackQ8(dst []float32, src []byte, k, first, n, rs, cs int) {
	unpackQuant("UnpackQ8", dst, src, k, first, n, rs, cs, blockBytesQ8, func(block []byte, p, j int) float32 {
		return float32(int(block[scalesBytes+p/4*64+4*j+p%4])-128) * scaleAt(block, j)
	})
}

// GemmQ8 computes C = A·B, or C += A·B if accumulate is set. rows is the M×K
// matrix A quantised by RowsQ8, bp is B packed by PackQ8(bp, b, k, n, …), and C
// is M×N with element (i,j) at c[i*ldc+j].
//
// Each element of C is one chain over blocks of k in ascending order, c =
// (float32(Σ qa·qw)·scaleW)·scaleA + c, starting from zero or from the stored
// element. Splitting M or N changes no bit: rows i0 to i1 are GemmQ8(i1-i0, n,
// k, rows[i0*RowsBytesQ8(1,k):], bp, c[i0*ldc:], …), and columns j0 to j1, with
// j0 a multiple of PanelWidth, are GemmQ8(m, j1-j0, k, rows,
// bp[j0/16*PanelBytesQ8(k):], c[j0:], …).
func GemmQ8(m, n, k int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	if checkQuant("GemmQ8", m, n, k, rows, bp, c, ldc, accumulate, PackedBytesQ8(k, n)) {
		gemmQ8(m, n, quantBlocks(k), rows, bp, c, ldc, accumulate)
	}
}

func gemmQ8Generic(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	gemmQuantGeneric(m, n, blocks, rows, bp, c, ldc, accumulate, blockBytesQ8, withScales(func(a,
		block []byte) (sums [PanelWidth]int32) {
		for t := range QuantBlock / 4 {
			a0, a1, a2, a3 := int32(int8(a[4*t])), int32(int8(a[4*t+1])), int32(int8(a[4*t+2])), int32(int8(a[4*t+3]))
			w := block[scalesBytes+64*t:][:64]
			for j := range sums {
				q := w[4*j:][:4]
				sums[j] += a0*(int32(q[0])-128) + a1*(int32(q[1])-128) + a2*(int32(q[2])-128) + a3*(int32(q[3])-128)
			}
		}
		return sums
	}))
}
