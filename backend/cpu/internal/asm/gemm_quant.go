package asm

import (
	"encoding/binary"
	"math"
	"sync"
)

// tileQ is a block of 16 columns of weights to be packed, with element (p,j) at
// p*PanelWidth+j.
type tileQ [QuantBlock * PanelWidth]float32

// tilesQ recycles tiles.
var tilesQ = sync.Pool{New: func() any { return new(tileQ) }}

// scalesBytes is the size of the scales at the start of each block of a panel.
const scalesBytes = 2 * PanelWidth

// packQuant packs the K×N matrix b in blocks of blockBytes. It calls pack to
// pack each block from a tile.
func packQuant(kernel string, dst []byte, b []float32, k, n, rs, cs, blockBytes int, pack func(dst []byte,
	tile *tileQ)) {
	if k <= 0 || n <= 0 {
		return
	}
	panelBytes := quantBlocks(k) * blockBytes
	need(kernel, "dst", len(dst), (n+PanelWidth-1)/PanelWidth*panelBytes)
	need(kernel, "b", len(b), extent(k, n, rs, cs))
	tile := tilesQ.Get().(*tileQ)
	defer tilesQ.Put(tile)
	for j := 0; j < n; j += PanelWidth {
		panel := dst[j/PanelWidth*panelBytes:][:panelBytes]
		for p := 0; p < k; p += QuantBlock {
			rows := min(QuantBlock, k-p)
			packPanel(tile[:rows*PanelWidth], b[p*rs+j*cs:], rows, min(PanelWidth, n-j), rs, cs)
			clear(tile[rows*PanelWidth:])
			pack(panel[p/QuantBlock*blockBytes:][:blockBytes], tile)
		}
	}
}

// unpackQuant stores the value of every element of columns first to first+n of
// a packed matrix.
func unpackQuant(kernel string, dst []float32, src []byte, k, first, n, rs, cs, blockBytes int,
	value func(block []byte, p, j int) float32) {
	if k <= 0 || n <= 0 {
		return
	}
	panelBytes := quantBlocks(k) * blockBytes
	need(kernel, "src", len(src), (first+n+PanelWidth-1)/PanelWidth*panelBytes)
	need(kernel, "dst", len(dst), extent(k, n, rs, cs))
	for i := range n {
		j := first + i
		panel := src[j/PanelWidth*panelBytes:]
		for p0 := 0; p0 < k; p0 += QuantBlock {
			block := panel[p0/QuantBlock*blockBytes:][:blockBytes]
			for p := range min(QuantBlock, k-p0) {
				dst[(p0+p)*rs+i*cs] = value(block, p, j%PanelWidth)
			}
		}
	}
}

// scaleAt returns the scale of column j of a block.
func scaleAt(block []byte, j int) float32 {
	return fromF16(binary.LittleEndian.Uint16(block[2*j:]))
}

// checkQuant validates the operands of a product and reports whether there is
// anything to compute.
func checkQuant(kernel string, m, n, k int, rows, bp []byte, c []float32, ldc int, accumulate bool,
	packedBytes int) bool {
	if m <= 0 || n <= 0 {
		return false
	}
	needRows(kernel, "c", m, n, ldc)
	need(kernel, "c", len(c), extent(m, n, ldc, 1))
	if k <= 0 {
		if !accumulate {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return false
	}
	need(kernel, "rows", len(rows), RowsBytesQ8(m, k))
	need(kernel, "bp", len(bp), packedBytes)
	return true
}

// gemmQuantGeneric computes the product for weights in blocks of blockBytes.
// add adds to out the product of a block x of a row and a block w of up to 16
// columns.
func gemmQuantGeneric(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool, blockBytes int,
	add func(out []float32, x, w []byte)) {
	for j := 0; j < n; j += PanelWidth {
		panel := bp[j/PanelWidth*blocks*blockBytes:][:blocks*blockBytes]
		width := min(PanelWidth, n-j)
		for i := range m {
			row := rows[i*blocks*rowBlockBytes:][:blocks*rowBlockBytes]
			out := c[i*ldc+j:][:width]
			if !accumulate {
				clear(out)
			}
			for b := range blocks {
				add(out, row[b*rowBlockBytes:][:rowBlockBytes], panel[b*blockBytes:][:blockBytes])
			}
		}
	}
}

// withScales returns the add function of gemmQuantGeneric for weights without
// minimums. sums returns the integer products of 32 activations and 16 columns
// of a block.
func withScales(sums func(a, block []byte) [PanelWidth]int32) func(out []float32, x, w []byte) {
	return func(out []float32, x, w []byte) {
		scale, sum := rowScaleOf(x), sums(x, w)
		for q := range out {
			out[q] += float32(float32(float32(sum[q])*scaleAt(w, q)) * scale)
		}
	}
}

// columnSizesGeneric finds the bits of the largest magnitude in each column.
// NaN is greater than infinity.
func columnSizesGeneric(tile *tileQ, sizes *[PanelWidth]uint32) {
	for i, w := range tile {
		sizes[i%PanelWidth] = max(sizes[i%PanelWidth], math.Float32bits(w)&^(1<<31))
	}
}

// clearColumn sets column j to zeros.
func (t *tileQ) clearColumn(j int) {
	for p := range QuantBlock {
		t[p*PanelWidth+j] = 0
	}
}
