//go:build !noasm

package asm

import (
	"sync"
	"unsafe"
)

// gemvFP8Dot adds rows ≤ 4 rows of 64 columns to C, from four packed panels,
// panelStep bytes apart. The numbers of a row start at its byte rowHead, the
// codes of a panel at its byte panelHead. rows and quads must be positive.
//
//go:noescape
func gemvFP8Dot(rows, quads int, a *byte, rowHead, rowStep int, panel *byte, panelHead, panelStep int,
	c *float32, ldc int)

// widenedFP8 is one block of two panels as bf16 numbers, each row of the first
// panel followed by that of the second, and the scales of the columns. A column
// that has a NaN has the scale NaN.
type widenedFP8 struct {
	//lint:ignore U1000 The kernels use it.
	b [FP8Block * 2 * PanelWidth]uint16
	//lint:ignore U1000 The kernels use it.
	scales [2 * PanelWidth]float32
}

// widenFP8Dot widens a block of two panels, panelStep bytes apart. marks points
// to the marks of the block. quads must be positive.
//
//go:noescape
func widenFP8Dot(dst *widenedFP8, codes, marks *byte, panelStep, quads int)

// gemmTileFP8Dot adds the products of one block to rows ≤ 14 rows of those of
// up to 32 columns of C whose bit is set in mask. Rows of A, and their scales,
// are rowStep bytes apart. rows and pairs must be positive.
//
//go:noescape
func gemmTileFP8Dot(rows, pairs int, a, rowScales *byte, rowStep int, w *widenedFP8,
	c *float32, ldc int, mask uint32)

// gemmFP8 computes C += A·B.
func gemmFP8(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	switch {
	case useDot:
		gemmFP8Dot(m, n, s, rows, panels, c, ldc)
	case useAVX2:
		gemmFP8Widened(m, n, s, rows, panels, c, ldc)
	default:
		gemmFP8Generic(m, n, s, rows, panels, c, ldc)
	}
}

// widenedFP8s recycles the memory of gemmStripsFP8Dot.
var widenedFP8s = sync.Pool{New: func() any { return new(widenedFP8) }}

// gemvRowsFP8 is the maximum number of rows of C for which gemvFP8Dot, with
// four rows and four panels at a time, is faster than strips of more rows and
// fewer panels.
const gemvRowsFP8 = 16

// gemmFP8Dot computes C += A·B with VDPBF16PS.
func gemmFP8Dot(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	const group = 4 * PanelWidth
	j := 0
	if m <= gemvRowsFP8 {
		for ; j+group <= n; j += group {
			panel := &panels[j/PanelWidth*s.panelStep]
			for i := 0; i < m; i += 4 {
				row, out := &rows[i*s.rowStep], &c[i*ldc+j]
				gemvFP8Dot(min(4, m-i), quads(s.k), row, s.rowHead, s.rowStep,
					panel, s.panelHead, s.panelStep, out, ldc)
			}
		}
	}
	if j < n {
		gemmStripsFP8Dot(m, n-j, s, rows, panels[j/PanelWidth*s.panelStep:], c[j:], ldc)
	}
}

// twoPanels returns the mask of up to 32 columns, and the distance to the
// second of two panels, or 0 if there is none: its columns are masked.
func twoPanels(n, panelStep int) (mask uint32, step int) {
	switch {
	case n >= 2*PanelWidth:
		return ^uint32(0), panelStep
	case n > PanelWidth:
		return 1<<n - 1, panelStep
	}
	return 1<<n - 1, 0
}

// gemmStripsFP8Dot computes C += A·B by strips of rows of C. It widens each
// block of two panels once for blockStrips strips.
func gemmStripsFP8Dot(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	buf := widenedFP8s.Get().(*widenedFP8)
	defer widenedFP8s.Put(buf)
	strips := (m + tileRows - 1) / tileRows
	base, longer := m/strips, m%strips
	blocks := s.blocks
	if strips > 1 {
		blocks = blockKFP8 / FP8Block // a block of A stays in the second-level cache
	}
	for b0 := 0; b0 < s.blocks; b0 += blocks {
		for first := 0; first < strips; first += blockStrips {
			for j := 0; j < n; j += 2 * PanelWidth {
				mask, step := twoPanels(n-j, s.panelStep)
				panel := panels[j/PanelWidth*s.panelStep:]
				for b := b0; b < min(b0+blocks, s.blocks); b++ {
					quads := s.quads(b)
					widenFP8Dot(buf, &s.codes(panel, b)[0], &panel[markBytesFP8*b], step, quads)
					i := first*base + min(first, longer)
					for strip := first; strip < min(first+blockStrips, strips); strip++ {
						count := base
						if strip < longer {
							count++
						}
						row, out := rows[i*s.rowStep:], &c[i*ldc+j]
						x := &row[s.rowHead+2*FP8Block*b]
						gemmTileFP8Dot(count, 2*quads, x, &row[4*b], s.rowStep, buf, out, ldc, mask)
						i += count
					}
				}
			}
		}
	}
}

// blockKFP8 is the length along k of a block of A that several strips of rows
// share.
const blockKFP8 = 512

// widenPanelFP8AVX2 widens quads of the codes of a panel to float32 and
// exchanges rows p and p+1 for even p. quads must be positive.
//
//go:noescape
func widenPanelFP8AVX2(dst *float32, codes *byte, quads int)

// addScaledFP8AVX2 multiplies the sums of m rows of PanelWidth columns by their
// scales and adds them to C. Rows of sums are ldsums elements apart, the scales
// of rows rowStep bytes; marks points to the marks of the block. m must be
// positive.
//
//go:noescape
func addScaledFP8AVX2(m int, sums *float32, ldsums int, rowScales *byte, rowStep int, marks *byte,
	c *float32, ldc int)

// gemmFP8Widened computes C += A·B with the float32 kernels. These sum blocks
// of both operands that are widened with the elements of each pair of k
// exchanged, so that the odd one is added first.
func gemmFP8Widened(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	buf := sumsFP8s.Get().(*sumsFP8)
	defer sumsFP8s.Put(buf)
	for b := range s.blocks {
		p := b * FP8Block
		kb := 4 * s.quads(b)
		for i := 0; i < m; i += blockM {
			mb, block := min(blockM, m-i), rows[i*s.rowStep:]
			for r := range mb {
				row := &block[r*s.rowStep+s.rowHead+2*p]
				widenPairsAVX2(&buf.a[r*kb], (*uint16)(unsafe.Pointer(row)), kb)
			}
			for j := 0; j < n; j += widenedColumns {
				nb := min(widenedColumns, n-j)
				group := panels[j/PanelWidth*s.panelStep:]
				for q := 0; q < nb; q += PanelWidth {
					panel := group[q/PanelWidth*s.panelStep:]
					widenPanelFP8AVX2(&buf.b[q*kb], &s.codes(panel, b)[0], s.quads(b))
				}
				GemmPacked(mb, nb, kb, buf.a[:], kb, 1, buf.b[:], buf.sums[:], widenedColumns, false)
				for q := 0; q < nb; q += PanelWidth {
					marks, out := &group[q/PanelWidth*s.panelStep+markBytesFP8*b], c[i*ldc+j+q:]
					addScaledFP8(mb, min(PanelWidth, nb-q), buf.sums[q:], block[4*b:], s.rowStep, marks, out, ldc)
				}
			}
		}
	}
}

// addScaledFP8 is addScaledFP8AVX2 for n ≤ PanelWidth columns. Rows of sums are
// widenedColumns apart.
func addScaledFP8(m, n int, sums []float32, rowScales []byte, rowStep int, marks *byte,
	c []float32, ldc int) {
	if n == PanelWidth {
		addScaledFP8AVX2(m, &sums[0], widenedColumns, &rowScales[0], rowStep, marks, &c[0], ldc)
		return
	}
	for i := range m {
		var sum, row [PanelWidth]float32
		copy(sum[:], sums[i*widenedColumns:][:n])
		out := c[i*ldc:][:n]
		copy(row[:], out)
		addScaledFP8AVX2(1, &sum[0], PanelWidth, &rowScales[i*rowStep], rowStep, marks, &row[0], PanelWidth)
		copy(out, row[:])
	}
}

// sumsFP8 is the scratch memory of gemmFP8Widened.
type sumsFP8 struct {
	a    [blockM * FP8Block]float32
	b    [widenedColumns * FP8Block]float32
	sums [blockM * widenedColumns]float32
}

var sumsFP8s = sync.Pool{New: func() any { return new(sumsFP8) }}
