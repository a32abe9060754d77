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
	pairsWidened  = 8
	blocksWidened = 32
	sumsBytes     = chunkBlocks * 4 * 4 * tileSide * tileSide
)

// quantTiles is the memory of a product by tiles.
type quantTiles struct {
	sums  [2 * sumsBytes]byte          // of two chunks
	start [tileSide * tileSide]float32 // what sums start from
	// A block of columns of B, pairs of panels one after the other.
	panels [pairsWidened * blocksWidened * pairBytes]byte
}

var quantTilesPool = sync.Pool{New: func() any {
	t := new(quantTiles)
	for i := range t.start {
		t.start[i] = 3 << 22
	}
	return t
}}

// tilesQuant computes 32 rows of C for pairs of widened panels and chunks of blocks,
// both positive. Rows of A are rowStep bytes apart.
//
//go:noescape
func tilesQuant(cfg *tileConfig, chunks, pairs int, rows *byte, rowStep int, panels, sums *byte, c *float32, ldc int,
	resume bool)

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
	cfg := configOf(tileSide, tileSide, QuantBlock/4, tileSide)
	for j := 0; j < nw; j += pairsWidened * pairColumns {
		pairs := min(pairsWidened, (nw-j)/pairColumns)
		for b := 0; b < bw; b += blocksWidened {
			most := min(blocksWidened, bw-b)
			for p := range 2 * pairs {
				dst, src := &t.panels[p/2*most*pairBytes], &bp[(j/PanelWidth+p)*panelStep+b*blockBytes]
				if blockBytes == blockBytesQ8 {
					widenQ8(dst, src, most, p%2)
				} else {
					widenQ4(dst, src, most, p%2)
				}
			}
			for i := 0; i < mw; i += stripsRows {
				tilesQuant(&cfg, most/chunkBlocks, pairs, &rows[i*rowStep+b*rowBlockBytes], rowStep, &t.panels[0], &t.sums[0],
					&c[i*ldc+j], ldc, accumulate || b > 0)
			}
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
