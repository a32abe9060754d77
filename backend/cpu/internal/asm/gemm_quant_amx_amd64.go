//go:build !noasm

package asm

import "sync"

// Products with Q8 and Q4 by TDPBSSD have the bits of those by VPDPBUSD, since sums of
// a block are exact and the chain over blocks is the same. So tiles take whole strips
// of 32 rows, pairs of panels and chunks of two blocks, and VPDPBUSD the rest.
const (
	stripsRows    = 2 * tileSide
	fewestRows    = 2 * stripsRows // below, widening the panels costs what the tiles gain
	pairColumns   = 2 * PanelWidth
	chunkBlocks   = 2
	pairBytes     = 2*QuantBlock*PanelWidth + 4*4*PanelWidth // of a block: see widenQ8
	blocksWidened = 16                                       // a pair's blocks, 20 KiB, stay in the first-level cache while A streams
	blocksRows    = 64                                       // blocks of A, 640 KiB, stay in the second-level cache while pairs pass
	rowsTiles     = 256
	stripsBytes   = QuantBlock*stripsRows + 4*stripsRows // of a block: see joinRowsQ8
	sumsBytes     = chunkBlocks * 4 * 4 * tileSide * tileSide
)

// quantTiles is the memory of a product by tiles.
type quantTiles struct {
	sums  [2 * sumsBytes]byte // of two chunks
	start [tileSide]float32   // what sums start from
	pair  [blocksWidened * pairBytes]byte
	c     [rowsTiles * pairColumns]float32
	rows  [(rowsTiles/stripsRows*blocksRows + 3*chunkBlocks/2) * stripsBytes]byte // tiles run ahead
}

var quantTilesPool = sync.Pool{New: func() any {
	t := new(quantTiles)
	for i := range t.start {
		t.start[i] = 3 << 22
	}
	return t
}}

// tilesQuant computes 32 columns of C from a widened pair of panels, for pairs of
// strips of gathered rows and chunks of blocks, both positive. Rows of c are adjacent;
// the last chunk's go to out, ldc apart.
//
//go:noescape
func tilesQuant(cfg *tileConfig, chunks, strips int, rows, panels, sums *byte, c, out *float32, ldc int,
	resume bool, next *byte, panelStep int)

// joinRowsQ8 writes blocks of a pair of strips of A, stripsBytes each: the integers of
// the rows, then their scales.
//
//go:noescape
func joinRowsQ8(dst, src *byte, rowStep, blocks int)

// widenQ8 writes blocks of a panel to the first or second place in blocks of a pair,
// pairBytes each: for both panels 512 signed bytes, ordered as in the panel, then the
// scales of both as float32, then 1.5·2²³ times these.
//
//go:noescape
func widenQ8(dst, src *byte, blocks, second int)

// widenQ4 is widenQ8 for panels of Q4.
//
//go:noescape
func widenQ4(dst, src *byte, blocks, second int)

// gemmQuantAMX computes the product with weights in blocks of blockBytes.
func gemmQuantAMX(m, n, blocks int, rows, bp []byte, blockBytes int, c []float32, ldc int, accumulate bool) {
	rowStep, panelStep := blocks*rowBlockBytes, blocks*blockBytes
	mw, nw, bw := m-m%stripsRows, n-n%pairColumns, blocks-blocks%chunkBlocks
	if m < fewestRows || nw == 0 || bw == 0 {
		gemmQuantDot(m, n, blocks, rows, rowStep, bp, panelStep, blockBytes, c, ldc, accumulate)
		return
	}
	t := quantTilesPool.Get().(*quantTiles)
	for i := 0; i < mw; i += rowsTiles {
		for b := 0; b < bw; b += blocksRows {
			mb := min(rowsTiles, mw-i)
			t.multiply(mb, nw, b, min(b+blocksRows, bw), rows[i*rowStep:], rowStep, bp, panelStep, blockBytes, c[i*ldc:], ldc,
				accumulate || b > 0)
		}
	}
	quantTilesPool.Put(t)
	if bw < blocks {
		gemmQuantDot(mw, nw, blocks-bw, rows[bw*rowBlockBytes:], rowStep, bp[bw*blockBytes:], panelStep, blockBytes, c, ldc,
			true)
	}
	if nw < n {
		gemmQuantDot(mw, n-nw, blocks, rows, rowStep, bp[nw/PanelWidth*panelStep:], panelStep, blockBytes, c[nw:], ldc,
			accumulate)
	}
	if mw < m {
		gemmQuantDot(m-mw, n, blocks, rows[mw*rowStep:], rowStep, bp, panelStep, blockBytes, c[mw*ldc:], ldc, accumulate)
	}
}

// tileLoopInt8 runs n > 0 rounds of four products of whole tiles in registers.
//
//go:noescape
func tileLoopInt8(cfg *tileConfig, n int)

// multiply computes m rows and n columns, whole tiles, of C for blocks from first to last.
func (t *quantTiles) multiply(m, n, first, last int, rows []byte, rowStep int, bp []byte, panelStep, blockBytes int,
	c []float32, ldc int, resume bool) {
	cfg := configOf(tileSide, tileSide, QuantBlock/4, tileSide)
	strips := m / stripsRows
	gathered := 0
	for b := first; b < last; b += blocksWidened {
		most := min(blocksWidened, last-b)
		for i := range strips {
			joinRowsQ8(&t.rows[gathered], &rows[i*stripsRows*rowStep+b*rowBlockBytes], rowStep, most)
			gathered += most * stripsBytes
		}
	}
	for j := 0; j < n; j += pairColumns {
		if resume {
			for i := range m {
				copy(t.c[i*pairColumns:][:pairColumns], c[i*ldc+j:])
			}
		}
		for b := first; b < last; b += blocksWidened {
			most := min(blocksWidened, last-b)
			for p := range 2 {
				src := &bp[(j/PanelWidth+p)*panelStep+b*blockBytes]
				if blockBytes == blockBytesQ8 {
					widenQ8(&t.pair[0], src, most, p)
				} else {
					widenQ4(&t.pair[0], src, most, p)
				}
			}
			out, step := &t.c[0], pairColumns
			if b+most == last {
				out, step = &c[j], ldc
			}
			next := j/PanelWidth*panelStep + (b+most)*blockBytes
			if b+most == last {
				next = (min(j+pairColumns, n-pairColumns)/PanelWidth*panelStep + first*blockBytes)
			}
			tilesQuant(&cfg, most/chunkBlocks, strips, &t.rows[(b-first)*strips*stripsBytes], &t.pair[0], &t.sums[0], &t.c[0],
				out, step, resume || b > first, &bp[next], panelStep)
		}
	}
}
