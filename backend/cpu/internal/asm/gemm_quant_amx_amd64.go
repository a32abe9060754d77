//go:build !noasm

package asm

import "sync"

// Products with Q8 and Q4 by TDPBSSD have the same bits as those by VPDPBUSD,
// since the sums of a block are exact and the chain over blocks is the same. So
// tiles compute whole strips of 16 rows, pairs of panels and chunks of two
// blocks, and VPDPBUSD computes the rest.
//
// Rows are rearranged for many blocks and stay in the second-level cache while
// pairs of panels stream through. The part of C for a group of four strips and
// a pair of panels stays in the first-level cache for all blocks.
const (
	pairColumns = 2 * PanelWidth
	chunkBlocks = 2
	groupStrips = 4
	groupRows   = groupStrips * tileSide
	aheadStrips = 2 // by how many strips the tiles are ahead of the vector unit

	pairBytes  = 2*QuantBlock*PanelWidth + 4*4*PanelWidth         // size of a block of a pair of panels: see widenQ8
	stripBytes = chunkBlocks * (QuantBlock*tileSide + 4*tileSide) // size of a chunk of a strip: see joinRowsQ8
	sumsBytes  = chunkBlocks * 2 * 4 * tileSide * tileSide        // size of the sums of a strip and a chunk

	blocksJoined = 64
	rowsJoined   = 256

	// For smaller products, rearranging, widening and running ahead cost more
	// than tiles save.
	fewestRows   = 2 * tileSide
	fewestBlocks = 4
	fewestSums   = 64 * 64 // elements of C
)

// quantTiles is the scratch memory of a product by tiles.
type quantTiles struct {
	sums [2 * sumsBytes]byte // sums of two strips
	pair [blocksJoined * pairBytes]byte
	c    [rowsJoined * pairColumns]float32
	rows [(rowsJoined/tileSide*blocksJoined/chunkBlocks + aheadStrips) * stripBytes]byte
}

var quantTilesPool = sync.Pool{New: func() any { return new(quantTiles) }}

// tilesQuant computes 32 columns of C from a widened pair of panels, for groups
// of strips of rearranged rows and chunks of blocks; all numbers must be
// positive. Rows of c are adjacent; those of the last chunk go to out, ldc
// apart. Meanwhile it prefetches panels, panelStep apart, starting at next,
// into the second-level cache.
//
//go:noescape
func tilesQuant(cfg *tileConfig, groups, strips, chunks int, rows, panels, sums *byte, c, out *float32, ldc int,
	next *byte, panelStep int, resume bool)

// joinRowsQ8 writes chunks of a strip of A, stripBytes each and chunkStep bytes
// apart: the integers of the first block, those of the second, and the scales
// of both.
//
//go:noescape
func joinRowsQ8(dst, src *byte, rowStep, chunkStep, chunks int)

// widenQ8 writes blocks of a panel to the first or second place in the blocks
// of a pair, pairBytes each. Such a block has, for both panels, 512 signed
// bytes in the order of the panel, then the scales of both as float32, then
// 1.5·2²³ times these.
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

// gemmQuantAMX computes the product for weights in blocks of blockBytes.
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

// multiply computes the product for up to rowsJoined rows in whole strips,
// pairs of panels, and up to blocksJoined blocks in whole chunks.
func (t *quantTiles) multiply(m, n, blocks int, rows []byte, rowStep int, bp []byte, panelStep, blockBytes int,
	c []float32, ldc int, resume bool) {
	widen := widenQ8
	if blockBytes == blockBytesQ4 {
		widen = widenQ4
	}
	chunks, whole := blocks/chunkBlocks, m-m%groupRows
	joined := func(i int) *byte { return &t.rows[i/tileSide*chunks*stripBytes] } // rows from row i, rearranged
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

// quantConfig returns the tile shapes of tilesQuant: tile 0 for A, 1 to 3 for
// panels, 4 to 7 for C.
func quantConfig() tileConfig {
	c := configOf(tileSide, tileSide, QuantBlock/4, tileSide)
	c.rows[1], c.rowBytes[1] = c.rows[firstTileB], c.rowBytes[firstTileB]
	return c
}
