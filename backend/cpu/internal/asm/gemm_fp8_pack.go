package asm

import (
	"encoding/binary"
	"math"
	"sync"
)

// minSizeFP8 is the lower bound for max|x| in the scale of a block of
// activations.
const minSizeFP8 = 1e-4

// RowsFP8 quantises the M×K matrix a, with element (i,p) at a[i*ars+p*acs], row
// by row, in blocks of FP8Block along k. A block has the scale s = max(max|x|,
// 1e-4)/448 and the numbers q = x/s rounded to E4M3 like ToE4M3, all in
// float32. A block with a NaN or an infinity gets the scale NaN and zeros, so
// the product's row is NaN. Row i is dst[i*RowsBytesFP8(1, k):].
func RowsFP8(dst []byte, a []float32, m, k, ars, acs int) {
	if m <= 0 || k <= 0 {
		return
	}
	need("RowsFP8", "dst", len(dst), RowsBytesFP8(m, k))
	need("RowsFP8", "a", len(a), extent(m, k, ars, acs))
	s := shapeOfFP8(k)
	whole := 0
	if acs == 1 {
		whole = k / FP8Block
	}
	for i := range m {
		row := dst[i*s.rowStep:][:s.rowStep]
		quantRowFP8(row, s.rowHead, a[i*ars:][:whole*FP8Block])
		clear(row[4*s.blocks : s.rowHead])
		clear(row[s.rowHead+2*k:])
	}
	if whole < s.blocks {
		gatherRowsFP8(dst, s, whole, a, m, ars, acs)
	}
}

// gatherRowsFP8 quantises m rows, from block first on, PanelWidth rows at a
// time.
func gatherRowsFP8(dst []byte, s shapeFP8, first int, a []float32, m, ars, acs int) {
	var rows [PanelWidth * FP8Block]float32
	for i := 0; i < m; i += PanelWidth {
		count := min(PanelWidth, m-i)
		for b := first; b < s.blocks; b++ {
			p := b * FP8Block
			kb := min(FP8Block, s.k-p)
			gatherRows(&rows, a[i*ars+p*acs:], count, kb, ars, acs)
			for r := range count {
				var row [4 + 2*FP8Block]byte
				quantRowFP8(row[:], 4, rows[r*FP8Block:][:FP8Block])
				out := dst[(i+r)*s.rowStep:]
				copy(out[4*b:], row[:4])
				copy(out[s.rowHead+2*p:][:2*kb], row[4:])
			}
		}
	}
}

// gatherRows copies up to PanelWidth rows of k ≤ FP8Block numbers to rows of
// FP8Block numbers and fills these up with zeros.
func gatherRows(dst *[PanelWidth * FP8Block]float32, a []float32, rows, k, ars, acs int) {
	if ars != 1 || acs == 1 {
		for r := range rows {
			row := dst[r*FP8Block:][:FP8Block]
			for p := range k {
				row[p] = a[r*ars+p*acs]
			}
			clear(row[k:])
		}
		return
	}
	// Packed as panels, PanelWidth columns of a follow each other.
	var panel [PanelWidth * PanelWidth]float32
	for p := 0; p < FP8Block; p += PanelWidth {
		if p < k {
			packPanel(panel[:rows*PanelWidth], a[p*acs:], rows, min(PanelWidth, k-p), ars, acs)
		} else {
			clear(panel[:])
		}
		for r := range rows {
			copy(dst[r*FP8Block+p:], panel[r*PanelWidth:][:PanelWidth])
		}
	}
}

// quantRowFP8Generic quantises whole blocks. It writes the scales to the start
// of dst and the bf16 numbers to byte head.
func quantRowFP8Generic(dst []byte, head int, x []float32) {
	for b := 0; b < len(x); b += FP8Block {
		block, codes := x[b:][:FP8Block], dst[head+2*b:][:2*FP8Block]
		size := largestSizeGeneric(block)
		if size >= infBits {
			binary.LittleEndian.PutUint32(dst[b/FP8Block*4:], nanBits)
			clear(codes)
			continue
		}
		scale := max(math.Float32frombits(size), minSizeFP8) / maxE4M3
		putFloat32(dst[b/FP8Block*4:], scale)
		for p, v := range block {
			q := fromE4M3(toE4M3(v / scale))
			binary.LittleEndian.PutUint16(codes[2*p:], uint16(math.Float32bits(q)>>16))
		}
	}
}

// largestSizeGeneric returns the bits of the largest magnitude. NaN is greater
// than infinity.
func largestSizeGeneric(x []float32) (size uint32) {
	for _, v := range x {
		size = max(size, math.Float32bits(v)&^(1<<31))
	}
	return size
}

// PackFP8 quantises the K×N matrix b, with element (p,j) at b[p*rs+j*cs], into
// panels. Each square of FP8Block×FP8Block, smaller at the edges of b, has
// the scale s = max|w|/448, or 1 if that is zero, and the numbers q = w/s
// rounded to E4M3 like ToE4M3, all in float32. A NaN or an infinity becomes NaN
// and does not affect the scale. dst has PanelBytesFP8(k) bytes for every
// PanelWidth columns, of which the last may be missing.
//
// Squares are independent: columns j0 to j1, with j0 a multiple of FP8Block,
// are packed by PackFP8(dst[j0/16*PanelBytesFP8(k):], b[j0*cs:], k, j1-j0, rs,
// cs).
func PackFP8(dst []byte, b []float32, k, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("PackFP8", "dst", len(dst), packedBytesFP8(k, n))
	need("PackFP8", "b", len(b), extent(k, n, rs, cs))
	s := shapeOfFP8(k)
	clearEndsFP8(dst, s, n)
	square := squares.Get().(*[FP8Block * FP8Block]float32)
	defer squares.Put(square)
	for j := 0; j < n; j += FP8Block {
		nb := min(FP8Block, n-j)
		for p := 0; p < k; p += FP8Block {
			kb := min(FP8Block, k-p)
			tiles := square[:PackedSize(kb, nb)]
			PackB(tiles, b[p*rs+j*cs:], kb, nb, rs, cs)
			packSquareFP8(dst[j/PanelWidth*s.panelStep:], s, p/FP8Block, tiles, kb)
		}
	}
}

// squares recycles the memory of copied squares of weights.
var squares = sync.Pool{New: func() any { return new([FP8Block * FP8Block]float32) }}

// clearEndsFP8 clears the heads of panels after the marks of their blocks.
func clearEndsFP8(dst []byte, s shapeFP8, n int) {
	for j := 0; j < n; j += PanelWidth {
		clear(dst[j/PanelWidth*s.panelStep:][markBytesFP8*s.blocks : s.panelHead])
	}
}

// codes returns the codes of block b of a panel.
func (s *shapeFP8) codes(panel []byte, b int) []byte {
	return panel[s.panelHead+b*FP8Block*PanelWidth:][:s.quads(b)*quadBytes]
}

// mark stores the marks of block b of a panel.
func (s *shapeFP8) mark(panel []byte, b int, scale float32) {
	nan, small := marksFP8(s.codes(panel, b))
	marks := panel[markBytesFP8*b:][:markBytesFP8]
	putFloat32(marks, scale)
	binary.LittleEndian.PutUint32(marks[4:], nan)
	binary.LittleEndian.PutUint32(marks[8:], small)
}

// packSquareFP8 quantises one square, given as tiles of k rows of PanelWidth
// columns, into block b of panels. It may change the tiles.
func packSquareFP8(dst []byte, s shapeFP8, b int, tiles []float32, k int) {
	scale := squareScale(tiles, largestSize(tiles))
	whole := k &^ 3
	for q := range len(tiles) / (k * PanelWidth) {
		tile, panel := tiles[q*k*PanelWidth:][:k*PanelWidth], dst[q*s.panelStep:]
		codes := s.codes(panel, b)
		if whole > 0 {
			encodeQuadsFP8(codes, tile[:whole*PanelWidth], scale)
		}
		if whole < k {
			var last [4 * PanelWidth]float32
			copy(last[:], tile[whole*PanelWidth:])
			encodeQuadsFP8(codes[whole*PanelWidth:], last[:], scale)
		}
		s.mark(panel, b, scale)
	}
}

// squareScale returns the scale of a square. size is the bits of its largest
// magnitude. It replaces numbers that are not finite by NaN and ignores them.
func squareScale(w []float32, size uint32) (scale float32) {
	if size >= infBits {
		size = 0
		for i, v := range w {
			if u := math.Float32bits(v) &^ (1 << 31); u < infBits {
				size = max(size, u)
			} else {
				w[i] = math.Float32frombits(nanBits)
			}
		}
	}
	if scale = math.Float32frombits(size) / maxE4M3; scale == 0 {
		scale = 1
	}
	return scale
}

// encodeQuadsFP8Generic divides a tile by scale and rounds it to quads of
// codes. The number of rows of the tile must be a multiple of four.
func encodeQuadsFP8Generic(dst []byte, tile []float32, scale float32) {
	for i, w := range tile {
		p, j := i/PanelWidth, i%PanelWidth
		dst[p/4*quadBytes+codeAt(p%4, j)] = toE4M3(w / scale)
	}
}

// marksFP8Generic returns the set of columns of a block that have a NaN, and
// the set of quads that have a zero or subnormal number.
func marksFP8Generic(codes []byte) (nan, small uint32) {
	for i, code := range codes {
		switch {
		case code|0x80 == 0xff:
			nan |= 1 << (i / 4 % PanelWidth)
		case code&0x78 == 0:
			small |= 1 << (i / quadBytes)
		}
	}
	return nan, small
}

// PackFP8Bits is PackFP8 for a matrix that is E4M3 already, with element (p,j)
// at b[p*rs+j*cs]. The square that starts at row pb*FP8Block and column
// jb*FP8Block has the scale scale[pb*srs+jb*scs]. All codes are kept.
func PackFP8Bits(dst, b []byte, scale []float32, k, n, rs, cs, srs, scs int) {
	if k <= 0 || n <= 0 {
		return
	}
	s := shapeOfFP8(k)
	need("PackFP8Bits", "dst", len(dst), packedBytesFP8(k, n))
	need("PackFP8Bits", "b", len(b), extent(k, n, rs, cs))
	need("PackFP8Bits", "scale", len(scale), extent(s.blocks, (n+FP8Block-1)/FP8Block, srs, scs))
	clearEndsFP8(dst, s, n)
	for j := 0; j < n; j += PanelWidth {
		panel := dst[j/PanelWidth*s.panelStep:]
		for pb := range s.blocks {
			p := pb * FP8Block
			kb := min(FP8Block, k-p)
			packQuadsFP8(s.codes(panel, pb), b[p*rs+j*cs:], kb, min(PanelWidth, n-j), rs, cs)
			s.mark(panel, pb, scale[pb*srs+j/FP8Block*scs])
		}
	}
}

// packQuadsFP8Generic copies k rows of n ≤ PanelWidth columns of codes to quads.
func packQuadsFP8Generic(dst, b []byte, k, n, rs, cs int) {
	clear(dst)
	for p := range k {
		for j := range n {
			dst[p/4*quadBytes+codeAt(p%4, j)] = b[p*rs+j*cs]
		}
	}
}

// QuantFP8 quantises one square like PackFP8. w is K×N in row-major order, with
// K and N at most FP8Block, and so are the codes. It may change w.
func QuantFP8(codes []byte, w []float32, k, n int) (scale float32) {
	need("QuantFP8", "codes", len(codes), k*n)
	need("QuantFP8", "w", len(w), k*n)
	scale = squareScale(w[:k*n], largestSizeGeneric(w[:k*n]))
	for i, v := range w[:k*n] {
		codes[i] = toE4M3(v / scale)
	}
	return scale
}

// UnpackFP8 decodes columns first to first+n of packed panels of K rows to the
// weights that the product uses, q·s rounded to float32: element (p,first+j)
// goes to dst[p*rs+j*cs].
func UnpackFP8(dst []float32, panels []byte, k, first, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("UnpackFP8", "panels", len(panels), packedBytesFP8(k, first+n))
	need("UnpackFP8", "dst", len(dst), extent(k, n, rs, cs))
	s := shapeOfFP8(k)
	for i := range n {
		j := first + i
		panel := panels[j/PanelWidth*s.panelStep:][:s.panelStep]
		for p := range k {
			scale := float32At(panel[p/FP8Block*markBytesFP8:])
			code := panel[s.panelHead+p/4*quadBytes+codeAt(p%4, j%PanelWidth)]
			dst[p*rs+i*cs] = valuesE4M3[code] * scale
		}
	}
}
