//go:build !noasm

package asm

import "sync"

// Products with Q8 and Q4 by TDPBSSD have the bits of those by VPDPBUSD, since sums of
// a block are exact and the chain over blocks is the same. So tiles take whole strips
// of 32 rows, pairs of panels and chunks of two blocks, and VPDPBUSD the rest.
//
// A pair of panels is widened for some blocks and stays in the first-level cache while
// rows stream. These are joined for more blocks and stay in the second-level cache while
// the pairs pass.
const (
	stripsRows  = 2 * tileSide
	pairColumns = 2 * PanelWidth
	chunkBlocks = 2
	aheadBlocks = 3 // which the tiles are ahead of the vectors

	pairBytes   = 2*QuantBlock*PanelWidth + 4*4*PanelWidth // of a block: see widenQ8
	stripsBytes = QuantBlock*stripsRows + 4*stripsRows     // of a block: see joinRowsQ8
	sumsBytes   = chunkBlocks * 4 * 4 * tileSide * tileSide

	blocksWidened = 8
	blocksJoined  = 64
	rowsJoined    = 256

	// Below, joining, widening and running ahead cost more than tiles gain.
	fewestBlocks = 4
	fewestSums   = 64 * 64 // of C
)

// quantTiles is the memory of a product by tiles.
type quantTiles struct {
	sums  [2 * sumsBytes]byte // of two chunks
	start [tileSide]float32   // what a row of sums starts from
	pair  [blocksWidened * pairBytes]byte
	c     [rowsJoined * pairColumns]float32
	rows  [(rowsJoined/stripsRows*blocksJoined + aheadBlocks) * stripsBytes]byte
}

var quantTilesPool = sync.Pool{New: func() any {
	t := new(quantTiles)
	for i := range t.start {
		t.start[i] = 3 << 22
	}
	return t
}}

// tilesQuant computes 32 columns of C from a widened pair of panels, for pairs of
// strips of joined rows and chunks of blocks, both positive. Rows of c are adjacent;
// the last chunk's go to out, ldc apart. Meanwhile it fetches panels from next on,
// panelStep apart, into the second-level cache.
//
//go:noescape
func tilesQuant(cfg *tileConfig, chunks, strips int, rows, panels, sums *byte, c, out *float32, ldc int, next *byte,
	panelStep int, resume bool)

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

// tileLoopInt8 runs n > 0 rounds of four products of whole tiles in registers.
//
//go:noescape
func tileLoopInt8(cfg *tileConfig, n int)

// gemmQuantAMX computes the product with weights in blocks of blockBytes.
func gemmQuantAMX(m, n, blocks int, rows, bp []byte, blockBytes int, c []float32, ldc int, accumulate bool) {
	rowStep, panelStep := blocks*rowBlockBytes, blocks*blockBytes
	mw, nw, bw := m-m%stripsRows, n-n%pairColumns, blocks-blocks%chunkBlocks
	if mw*nw < fewestSums || bw < fewestBlocks {
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
	for b := 0; b < blocks; b += blocksWidened {
		most := min(blocksWidened, blocks-b)
		for i := 0; i < m; i += stripsRows {
			joinRowsQ8(&t.rows[(b*m+i*most)/stripsRows*stripsBytes], &rows[i*rowStep+b*rowBlockBytes], rowStep, most)
		}
	}
	cfg := configOf(tileSide, tileSide, QuantBlock/4, tileSide)
	for j := 0; j < n; j += pairColumns {
		if resume {
			for i := range m {
				copy(t.c[i*pairColumns:][:pairColumns], c[i*ldc+j:])
			}
		}
		pair := j / PanelWidth * panelStep
		for b := 0; b < blocks; b += blocksWidened {
			most := min(blocksWidened, blocks-b)
			panels := bp[pair+b*blockBytes:]
			widen(&t.pair[0], &panels[0], most, 0)
			widen(&t.pair[0], &panels[panelStep], most, 1)
			out, step, next := &t.c[0], pairColumns, pair+(b+most)*blockBytes
			if b+most == blocks {
				out, step, next = &c[j], ldc, min(j+pairColumns, n-pairColumns)/PanelWidth*panelStep
			}
			tilesQuant(&cfg, most/chunkBlocks, m/stripsRows, &t.rows[b*m/stripsRows*stripsBytes], &t.pair[0], &t.sums[0],
				&t.c[0], out, step, &bp[next], panelStep, resume || b > 0)
		}
	}
}
