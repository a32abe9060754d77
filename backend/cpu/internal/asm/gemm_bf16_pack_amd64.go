//go:build !noasm

package asm

import (
	"sync"
	"unsafe"
)

// packRowPairsAVX2 packs a panel of 16 adjacent columns: k rows, rs apart. k
// must be even and positive.
//
//go:noescape
func packRowPairsAVX2(dst *uint16, b *float32, k, rs int)

// packRowPairsBitsAVX2 is packRowPairsAVX2 for bf16 input.
//
//go:noescape
func packRowPairsBitsAVX2(dst, b *uint16, k, rs int)

// packRowPairsAVX512 packs panels of 16 adjacent columns, step apart in dst: k
// rows, rs apart. k must be even and positive.
//
//go:noescape
func packRowPairsAVX512(dst *uint16, b *float32, k, rs, panels, step int)

// packRowPairsBitsAVX512 is packRowPairsAVX512 for bf16 input and pairs of
// panels.
//
//go:noescape
func packRowPairsBitsAVX512(dst, b *uint16, k, rs, pairs, step int)

// packColumnPairsAVX512 packs a panel of 16 columns, cs apart, whose elements
// are adjacent, in steps of 32 rows.
//
//go:noescape
func packColumnPairsAVX512(dst *uint16, b *float32, steps, cs int)

// packedTogether is the number of panels that are packed at a time, row by row.
const packedTogether = 4

func packBF16(dst []uint16, b []float32, k, n, rs, cs int) {
	j, k2, whole := 0, even(k), k&^1
	if useAVX512 && cs == 1 && whole > 0 {
		for ; j+PanelWidth <= n; j += packedTogether * PanelWidth {
			panels := min(packedTogether, (n-j)/PanelWidth)
			packRowPairsAVX512(&dst[j*k2], &b[j], whole, rs, panels, PanelWidth*k2)
		}
		j = n / PanelWidth * PanelWidth
		if whole < k {
			for q := 0; q < j; q += PanelWidth {
				packPanelBF16Generic(dst[q*k2+whole*PanelWidth:][:2*PanelWidth], b[whole*rs+q:], 1, PanelWidth, rs, cs)
			}
		}
	}
	for ; j < n; j += PanelWidth {
		packPanelBF16(dst[j*k2:][:PanelWidth*k2], b[j*cs:], k, min(PanelWidth, n-j), rs, cs)
	}
}

func packBF16Bits(dst, b []uint16, k, n, rs, cs int) {
	const pair = 2 * PanelWidth
	j, k2, whole := 0, even(k), k&^1
	if useAVX512 && cs == 1 && whole > 0 {
		for ; j+pair <= n; j += packedTogether * PanelWidth {
			pairs := min(packedTogether*PanelWidth, n-j) / pair
			packRowPairsBitsAVX512(&dst[j*k2], &b[j], whole, rs, pairs, PanelWidth*k2)
		}
		j = n / pair * pair
		if whole < k {
			for q := 0; q < j; q += PanelWidth {
				packPanelBF16BitsGeneric(dst[q*k2+whole*PanelWidth:][:2*PanelWidth], b[whole*rs+q:], 1, PanelWidth, rs, cs)
			}
		}
	}
	for ; j < n; j += PanelWidth {
		packPanelBF16Bits(dst[j*k2:][:PanelWidth*k2], b[j*cs:], k, min(PanelWidth, n-j), rs, cs)
	}
}

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
		if useAVX512 && n == PanelWidth && k >= pieceColumns {
			packColumnPairsAVX512(&dst[0], &b[0], k/pieceColumns, cs)
			whole := k &^ (pieceColumns - 1)
			dst, b, k = dst[whole*PanelWidth:], b[min(whole, len(b)):], k-whole
		}
		// Round a piece of each column, then transpose its pairs as if they
		// were float32.
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

// packPairs packs a panel of n columns, cs apart, whose elements are adjacent.
// It calls packPanel with each pair as one float32. k and cs must be even.
func packPairs(dst, b []uint16, k, n, cs int) {
	packPanel(pairs(dst[:PanelWidth*k]), pairs(b), k/2, n, 1, cs/2)
}

// pairs returns the memory of x as float32, for kernels that only move them.
func pairs(x []uint16) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/2)
}

// rowsOfColumnsAVX512 writes 32 columns of A, for groups of 16 rows that are
// adjacent in memory, as rows of stride elements. The columns of A are acs
// apart.
//
//go:noescape
func rowsOfColumnsAVX512(dst *uint16, stride int, a *float32, acs, groups int)

// rowsOfColumnsBitsAVX512 is rowsOfColumnsAVX512 for bf16 input.
//
//go:noescape
func rowsOfColumnsBitsAVX512(dst *uint16, stride int, a *uint16, acs, groups int)

func rowsBF16(dst []uint16, a []float32, m, k, ars, acs int) {
	if !useAVX2 || ars != 1 {
		rowsBF16Generic(dst, a, m, k, ars, acs)
		return
	}
	rowsOfColumns(dst, a, m, k, acs, rowsOfColumnsAVX512, packPanelBF16)
}

func rowsBF16Bits(dst, a []uint16, m, k, ars, acs int) {
	if !useAVX2 || ars != 1 {
		rowsBF16BitsGeneric(dst, a, m, k, ars, acs)
		return
	}
	rowsOfColumns(dst, a, m, k, acs, rowsOfColumnsBitsAVX512, packPanelBF16Bits)
}

// rowsTogether is the number of rows that rowsOfColumns completes before it
// starts the next ones. Their cache lines stay in the second-level cache until
// they are full.
const rowsTogether = 4 * PanelWidth

// rowsOfColumns is RowsBF16 for rows that are adjacent in memory and columns
// acs apart.
func rowsOfColumns[T float32 | uint16](dst []uint16, a []T, m, k, acs int,
	whole func(dst *uint16, stride int, a *T, acs, groups int), pack func(dst []uint16, b []T, k, n, rs, cs int)) {
	if !useAVX512 {
		piecesOfColumns(dst, a, m, k, 0, acs, pack)
		return
	}
	m16, k32, stride := m&^(PanelWidth-1), k&^(pieceColumns-1), RowStrideBF16(k)
	for i := 0; i < m16; i += rowsTogether {
		groups := min(rowsTogether, m16-i) / PanelWidth
		for p := 0; p < k32; p += pieceColumns {
			whole(&dst[i*stride+p], stride, &a[p*acs+i], acs, groups)
		}
	}
	piecesOfColumns(dst, a, m16, k, k32, acs, pack)
	piecesOfColumns(dst[m16*stride:], a[m16:], m-m16, k, 0, acs, pack)
}

// pieceColumns is the number of columns that piecesOfColumns processes at a
// time: 16 pairs.
const pieceColumns = 32

// columnPiece is the scratch memory of piecesOfColumns.
type columnPiece struct {
	panel, tile [PanelWidth * pieceColumns]uint16
}

var columnPieces = sync.Pool{New: func() any { return new(columnPiece) }}

// piecesOfColumns is rowsOfColumns for the columns from p on. It packs 16 rows
// at a time as a panel and transposes the pairs of that.
func piecesOfColumns[T float32 | uint16](dst []uint16, a []T, m, k, p, acs int,
	pack func(dst []uint16, b []T, k, n, rs, cs int)) {
	const piece = pieceColumns
	buf := columnPieces.Get().(*columnPiece)
	defer columnPieces.Put(buf)
	panel, tile := &buf.panel, &buf.tile
	stride := RowStrideBF16(k)
	for i := 0; i < m; i += PanelWidth {
		rows := min(PanelWidth, m-i)
		for p := p; p < k; p += piece {
			kb := min(piece, k-p)
			pack(panel[:PanelWidth*even(kb)], a[p*acs+i:], kb, rows, acs, 1)
			packPanel(pairs(tile[:]), pairs(panel[:]), PanelWidth, PanelWidth, 1, PanelWidth)
			for r := range rows {
				copy(dst[(i+r)*stride+p:][:even(kb)], tile[r*piece:])
			}
		}
	}
}
