//go:build !noasm

package asm

import "sync"

// Products with Q8 and Q4 by TDPBSSD have the bits of those by VPDPBUSD, since sums of
// a block are exact and the chain over blocks is the same. So tiles take whole strips
// of 16 rows, pairs of panels and chunks of two blocks, and VPDPBUSD the rest.
//
// Rows are joined for many blocks and stay in the second-level cache while the pairs of
// panels pass. Of C, a group of four strips and a pair stays in the first-level cache for
// all blocks.
const (
	pairColumns = 2 * PanelWidth
	chunkBlocks = 2
	groupStrips = 4
	groupRows   = groupStrips * tileSide
	aheadStrips = 2 // which the tiles are ahead of the vectors

	pairBytes  = 2*QuantBlock*PanelWidth + 4*4*PanelWidth         // of a block: see widenQ8
	stripBytes = chunkBlocks * (QuantBlock*tileSide + 4*tileSide) // of a chunk: see joinRowsQ8
	sumsBytes  = chunkBlocks * 2 * 4 * tileSide * tileSide        // of a strip and a chunk

	blocksJoined = 64
	rowsJoined   = 256

	// Below, joining, widening and running ahead cost more than tiles gain.
	fewestRows   = 2 * tileSide
	fewestBlocks = 4
	fewestSums   = 64 * 64 // of C
)

// quantTiles is the memory of a product by tiles.
type quantTiles struct {
	sums [2 * sumsBytes]byte // of two strips
	pair [blocksJoined * pairBytes]byte
	c    [rowsJoined * pairColumns]float32
	rows [(rowsJoined/tileSide*blocksJoined/chunkBlocks + aheadStrips) * stripBytes]byte
}

var quantTilesPool = sync.Pool{New: func() any { return new(quantTiles) }}

// tilesQuant computes 32 columns of C from a widened pair of panels, for groups of strips
// of joined rows and chunks of blocks, all positive. Rows of c are adjacent; the last
// chunk's go to out, ldc apart. Meanwhile it fetches panels from next on, panelStep
// apart, into the second-level cache.
//
//go:noescape
func tilesQuant(cfg *tileConfig, groups, strips, chunks int, rows, panels, sums *byte, c, out *float32, ldc int,
	next *byte, panelStep int, resume bool)

// joinRowsQ8 writes chunks of a strip of A, stripBytes each and chunkStep bytes apart: the
// integers of the first block and of the second, then the scales of both.
//
//go:noescape
func joinRowsQ8(dst, src *byte, rowStep, chunkStep, chunks int)

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

// tileLoopInt8 runs n > 0 rounds of four products of whole tiles in registers.
//
//go:noescape
func tileLoopInt8(cfg *tileConfig, n int)

// gemmQuantAMX computes the product with weights in blocks of blockBytes.
func gemmQuantAMX(m, n, blocks int, rows, bp []byte, blockBytes int, c []float32, ldc int, accumulate bool) {
	rowStep, panelStep := blocks*rowBlockBytes, blocks*blockBytes
	mw, nw, bw := m-m%tileSide, n-n%pairColumns, blocks-blocks%chunkBlocks
	if mw < fewestRows || mw*nw < fewestSums || bw < fewestBlocks {
		gemmQuantDot(m, n, blocks, rows, rowStep, bp, panelStep, blockBytes, c, ldc, accumulate)
		return
	}
	t := quantTilesPool.Get().(*quantTiles)
	for i := 0; i < mw; i += rowsJoined {
		for b := 0; b < bw; b += blocksJoined {
			t.multiply(min(rowsJoined, mw-i), nw, min(blocksJoined, bw-b), rows[i*rowStep+b*rowBlockBytes:], rowStep,
				bp[b*blockBytes:], panelStep, blockBytes, c[i*ldc:], ldc, accumulate || b > 0)
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

// multiply is gemmQuantAMX for up to rowsJoined rows, of whole strips, pairs of panels
// and chunks of up to blocksJoined blocks.
func (t *quantTiles) multiply(m, n, blocks int, rows []byte, rowStep int, bp []byte, panelStep, blockBytes int,
	c []float32, ldc int, resume bool) {
	widen := widenQ8
	if blockBytes == blockBytesQ4 {
		widen = widenQ4
	}
	chunks, whole := blocks/chunkBlocks, m-m%groupRows
	joined := func(i int) *byte { return &t.rows[i/tileSide*chunks*stripBytes] } // of the group that begins with row i
	for i := 0; i < m; i += groupRows {
		strips := min(groupStrips, (m-i)/tileSide)
		for s := range strips {
			joinRowsQ8(&t.rows[(i/tileSide*chunks+s)*stripBytes], &rows[(i+s*tileSide)*rowStep], rowStep, strips*stripBytes,
				chunks)
		}
	}
	cfg := quantConfig()
	for j := 0; j < n; j += pairColumns {
		if resume {
			for i := range m {
				copy(t.c[i*pairColumns:][:pairColumns], c[i*ldc+j:])
			}
		}
		panels, next := bp[j/PanelWidth*panelStep:], &bp[min(j+pairColumns, n-pairColumns)/PanelWidth*panelStep]
		widen(&t.pair[0], &panels[0], blocks, 0)
		widen(&t.pair[0], &panels[panelStep], blocks, 1)
		if whole > 0 {
			tilesQuant(&cfg, whole/groupRows, groupStrips, chunks, joined(0), &t.pair[0], &t.sums[0], &t.c[0], &c[j], ldc,
				next, panelStep, resume)
		}
		if whole < m {
			tilesQuant(&cfg, 1, (m-whole)/tileSide, chunks, joined(whole), &t.pair[0], &t.sums[0], &t.c[whole*pairColumns],
				&c[whole*ldc+j], ldc, next, panelStep, resume)
		}
	}
}

// quantConfig is the shape of tiles of tilesQuant: 0 of A, 1 to 3 of panels, 4 to 7 of C.
func quantConfig() tileConfig {
	c := configOf(tileSide, tileSide, QuantBlock/4, tileSide)
	c.rows[1], c.rowBytes[1] = c.rows[firstTileB], c.rowBytes[firstTileB]
	return c
}
