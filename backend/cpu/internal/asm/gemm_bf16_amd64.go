//go:build !noasm

package asm

import (
	"sync"
	"unsafe"
)

// tileRows is the number of rows of C that gemmTileDot holds in registers.
const tileRows = 14

const (
	blockKBF16  = 512  // two panels' blocks, 32 KiB, and a strip of A stream through the first-level cache
	blockStrips = 7    // a block of A, 98 KiB, stays in the second-level cache
	copyRowsAt  = 2048 // rows of A 4 KiB or more apart compete for few sets of the first-level cache
)

// gemmTileDot computes rows ≤ 14 of C, the given number of columns ≤ 32 from two
// packed panels, panelStep apart. Rows of A are ars apart. rows, pairs and
// columns are positive.
//
//go:noescape
func gemmTileDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, columns int,
	resume bool)

// gemvDot computes rows ≤ 4 of 64 columns of C from four packed panels, panelStep
// apart. rows and pairs are positive.
//
//go:noescape
func gemvDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc int, resume bool)

// dotLoop runs n > 0 rounds of 16 dot products of 16 pairs.
//
//go:noescape
func dotLoop(n int)

func dotLoopBF16(n int) (flops int) {
	switch {
	case !useDot || n <= 0:
		return 0
	case useAMX:
		return tileLoopBF16(n)
	}
	dotLoop(n)
	return n * 16 * 16 * 4
}

func gemmBF16(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	switch {
	case useAMX:
		gemmBF16AMX(m, n, k, a, ars, bp, c, ldc, accumulate)
	case useDot:
		gemmBF16Dot(m, n, k, a, ars, bp, c, ldc, accumulate)
	case useAVX2:
		gemmBF16Widened(m, n, k, a, ars, bp, c, ldc, accumulate)
	default:
		gemmBF16Generic(m, n, k, a, ars, bp, c, ldc, accumulate)
	}
}

// gemmBF16Dot is GemmBF16 for even k by VDPBF16PS.
func gemmBF16Dot(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	const group = 4 * PanelWidth
	j := 0
	if m <= 4 {
		for ; j+group <= n; j += group {
			gemvDot(m, k/2, &a[0], ars, &bp[j*k], PanelWidth*k, &c[j], ldc, accumulate)
		}
		if j == n {
			return
		}
	}
	var buf *[]uint16
	if ars >= copyRowsAt && m > 4 {
		buf = blockOfA.Get().(*[]uint16)
		defer blockOfA.Put(buf)
	}
	// Strips of A differ by at most one row: short ones cannot hide the latency.
	strips := (m + tileRows - 1) / tileRows
	base, longer := m/strips, m%strips
	for p := 0; p < k; p += blockKBF16 {
		kb := min(blockKBF16, k-p)
		for first := 0; first < strips; first += blockStrips {
			last := min(first+blockStrips, strips)
			i0 := first*base + min(first, longer)
			i1 := last*base + min(last, longer)
			block, rs := a[i0*ars+p:], ars
			if buf != nil {
				block, rs = *buf, kb
				for i := i0; i < i1; i++ {
					copy(block[(i-i0)*kb:][:kb], a[i*ars+p:])
				}
			}
			for j := j; j < n; j += 2 * PanelWidth {
				columns := min(2*PanelWidth, n-j)
				step := PanelWidth * k
				if columns <= PanelWidth {
					step = 0 // there is no second panel; its columns are masked
				}
				i := i0
				for s := first; s < last; s++ {
					rows := base
					if s < longer {
						rows++
					}
					gemmTileDot(rows, kb/2, &block[(i-i0)*rs], rs, &bp[j*k+p*PanelWidth], step, &c[i*ldc+j], ldc, columns,
						accumulate || p > 0)
					i += rows
				}
			}
		}
	}
}

// blockOfA recycles the copies of blocks of A.
var blockOfA = sync.Pool{New: func() any {
	block := make([]uint16, blockStrips*tileRows*blockKBF16)
	return &block
}}

// gemmBF16Widened is GemmBF16 for even k by the kernels of float32. Blocks of
// both operands are widened with the elements of each pair of k exchanged, so
// that the odd one is added first.
func gemmBF16Widened(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	buf := widened.Get().(*widenedBlocks)
	defer widened.Put(buf)
	for p := 0; p < k; p += blockK {
		kb := min(blockK, k-p)
		for i := 0; i < m; i += blockM {
			mb := min(blockM, m-i)
			for r := range mb {
				widenPairsAVX2(&buf.a[r*kb], &a[(i+r)*ars+p], kb)
			}
			for j := 0; j < n; j += widenedColumns {
				nb := min(widenedColumns, n-j)
				for q := 0; q < nb; q += PanelWidth {
					widenPanelAVX2(&buf.b[q*kb], &bp[(j+q)*k+p*PanelWidth], kb)
				}
				GemmPacked(mb, nb, kb, buf.a[:], kb, 1, buf.b[:], c[i*ldc+j:], ldc, accumulate || p > 0)
			}
		}
	}
}

const widenedColumns = 4 * PanelWidth

type widenedBlocks struct {
	a [blockM * blockK]float32
	b [widenedColumns * blockK]float32
}

var widened = sync.Pool{New: func() any { return new(widenedBlocks) }}

// widenPairsAVX2 sets dst[p] and dst[p+1] to x[p+1] and x[p] for even p < k.
//
//go:noescape
func widenPairsAVX2(dst *float32, x *uint16, k int)

// widenPanelAVX2 widens a block of k rows of a packed panel to one of float32,
// exchanging rows p and p+1 for even p. k is even and positive.
//
//go:noescape
func widenPanelAVX2(dst *float32, panel *uint16, k int)

// packRowPairsAVX2 packs a panel of 16 adjacent columns: k rows, rs apart. k is
// even and positive.
//
//go:noescape
func packRowPairsAVX2(dst *uint16, b *float32, k, rs int)

// packRowPairsBitsAVX2 is packRowPairsAVX2 from bf16.
//
//go:noescape
func packRowPairsBitsAVX2(dst, b *uint16, k, rs int)

func packPanelBF16(dst []uint16, b []float32, k, n, rs, cs int) {
	switch whole := k &^ 1; {
	case !useAVX2 || n < PanelWidth && cs == 1 || cs != 1 && rs != 1:
		packPanelBF16Generic(dst, b, k, n, rs, cs)
	case cs == 1:
		if whole > 0 {
			packRowPairsAVX2(&dst[0], &b[0], whole, rs)
		}
		if whole < k {
			packPanelBF16Generic(dst[whole*PanelWidth:], b[whole*rs:], 1, n, rs, cs)
		}
	default:
		// Round a piece of each column, then transpose the pairs as float32.
		const piece = 256
		var columns [PanelWidth * piece]uint16
		for p := 0; p < k; p += piece {
			kb := min(piece, k-p)
			for j := range n {
				column := columns[j*piece:][:even(kb)]
				toBF16s(column[:kb], b[j*cs+p:][:kb])
				clear(column[kb:])
			}
			packPairs(dst[p*PanelWidth:], columns[:], even(kb), n, piece)
		}
	}
}

func packPanelBF16Bits(dst, b []uint16, k, n, rs, cs int) {
	switch whole := k &^ 1; {
	case useAVX2 && cs == 1 && n == PanelWidth:
		if whole > 0 {
			packRowPairsBitsAVX2(&dst[0], &b[0], whole, rs)
		}
		if whole < k {
			packPanelBF16BitsGeneric(dst[whole*PanelWidth:], b[whole*rs:], 1, n, rs, cs)
		}
	case useAVX2 && rs == 1 && cs%2 == 0 && k%2 == 0:
		packPairs(dst, b, k, n, cs)
	default:
		packPanelBF16BitsGeneric(dst, b, k, n, rs, cs)
	}
}

// packPairs packs a panel of n columns, cs apart, that are contiguous in k: it is
// packPanel of the pairs. k and cs are even.
func packPairs(dst, b []uint16, k, n, cs int) {
	packPanel(pairs(dst[:PanelWidth*k]), pairs(b), k/2, n, 1, cs/2)
}

// pairs is x as a slice of float32, for kernels that only move them.
func pairs(x []uint16) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/2)
}

func rowsBF16(dst []uint16, a []float32, m, k, ars, acs int) {
	if !useAVX2 || ars != 1 {
		rowsBF16Generic(dst, a, m, k, ars, acs)
		return
	}
	rowsOfColumns(dst, a, m, k, acs, packPanelBF16)
}

func rowsBF16Bits(dst, a []uint16, m, k, ars, acs int) {
	if !useAVX2 || ars != 1 {
		rowsBF16BitsGeneric(dst, a, m, k, ars, acs)
		return
	}
	rowsOfColumns(dst, a, m, k, acs, packPanelBF16Bits)
}

// pieceColumns is the number of columns that rowsOfColumns takes at a time: 16
// pairs.
const pieceColumns = 32

// columnPiece is the working memory of rowsOfColumns.
type columnPiece struct {
	panel, tile [PanelWidth * pieceColumns]uint16
}

var columnPieces = sync.Pool{New: func() any { return new(columnPiece) }}

// rowsOfColumns is RowsBF16 of rows that lie side by side, acs the distance of
// columns: it packs 16 rows at a time as a panel and transposes its pairs.
func rowsOfColumns[T float32 | uint16](dst []uint16, a []T, m, k, acs int, pack func(dst []uint16, b []T, k, n, rs,
	cs int)) {
	const piece = pieceColumns
	buf := columnPieces.Get().(*columnPiece)
	defer columnPieces.Put(buf)
	panel, tile := &buf.panel, &buf.tile
	stride := RowStrideBF16(k)
	for i := 0; i < m; i += PanelWidth {
		rows := min(PanelWidth, m-i)
		for p := 0; p < k; p += piece {
			kb := min(piece, k-p)
			pack(panel[:PanelWidth*even(kb)], a[p*acs+i:], kb, rows, acs, 1)
			packPanel(pairs(tile[:]), pairs(panel[:]), PanelWidth, PanelWidth, 1, PanelWidth)
			for r := range rows {
				copy(dst[(i+r)*stride+p:][:even(kb)], tile[r*piece:])
			}
		}
	}
}
