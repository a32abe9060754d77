//go:build !noasm

package asm

import (
	"sync"
	"unsafe"
)

// gemvFP8Dot adds rows ≤ 4 of 64 columns to C, from four packed panels, panelStep
// bytes apart. The numbers of a row begin at byte rowHead of it, the codes of a
// panel at byte panelHead. rows and pairs are positive.
//
//go:noescape
func gemvFP8Dot(rows, pairs int, a *byte, rowHead, rowStep int, panel *byte, panelHead, panelStep int, c *float32, ldc int)

// widenFP8Dot widens a block of the codes of two panels, panelStep bytes apart, to
// bf16, and their scale to that of each column, NaN where the column has one.
// pairs is positive.
//
//go:noescape
func widenFP8Dot(dst *[2 * FP8Block * PanelWidth]uint16, scales *[2 * PanelWidth]float32, codes, scale *byte, panelStep, pairs int)

// gemmTileFP8Dot adds the products of one block to rows ≤ 14 of up to 32 columns
// of C, those whose bit is set in mask. Rows of A, and their scales, are rowStep
// bytes apart; b and scales are what widenFP8Dot leaves. rows and pairs are
// positive.
//
//go:noescape
func gemmTileFP8Dot(rows, pairs int, a, rowScales *byte, rowStep int, b *[2 * FP8Block * PanelWidth]uint16, scales *[2 * PanelWidth]float32, c *float32, ldc int, mask uint32)

// gemmFP8 is C += A·B.
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

// widenedFP8 is a block of two panels as widenFP8Dot leaves it.
type widenedFP8 struct {
	b      [2 * FP8Block * PanelWidth]uint16
	scales [2 * PanelWidth]float32
}

var widenedFP8s = sync.Pool{New: func() any { return new(widenedFP8) }}

// gemmFP8Dot is C += A·B by VDPBF16PS. With more rows of C than gemvFP8Dot takes,
// each block of two panels is widened once for blockStrips strips of rows.
func gemmFP8Dot(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	const group = 4 * PanelWidth
	first := 0
	if m <= 4 {
		for ; first+group <= n; first += group {
			gemvFP8Dot(m, even(s.k)/2, &rows[0], s.rowHead, s.rowStep, &panels[first/PanelWidth*s.panelStep], s.panelHead, s.panelStep, &c[first], ldc)
		}
		if first == n {
			return
		}
	}
	buf := widenedFP8s.Get().(*widenedFP8)
	defer widenedFP8s.Put(buf)
	strips := (m + tileRows - 1) / tileRows
	base, longer := m/strips, m%strips
	blocks := s.blocks // those of A that stay in the second-level cache
	if strips > 1 {
		blocks = blockKFP8 / FP8Block
	}
	for b0 := 0; b0 < s.blocks; b0 += blocks {
		for s0 := 0; s0 < strips; s0 += blockStrips {
			for j := first; j < n; j += 2 * PanelWidth {
				mask, step := ^uint32(0), s.panelStep
				if left := n - j; left < 2*PanelWidth {
					mask = 1<<left - 1
					if left <= PanelWidth {
						step = 0 // there is no second panel; its columns are masked
					}
				}
				panel := panels[j/PanelWidth*s.panelStep:]
				for b := b0; b < min(b0+blocks, s.blocks); b++ {
					p := b * FP8Block
					pairs := even(min(FP8Block, s.k-p)) / 2
					widenFP8Dot(&buf.b, &buf.scales, &panel[s.panelHead+p*PanelWidth], &panel[8*b], step, pairs)
					i := s0*base + min(s0, longer)
					for strip := s0; strip < min(s0+blockStrips, strips); strip++ {
						count := base
						if strip < longer {
							count++
						}
						row := rows[i*s.rowStep:]
						gemmTileFP8Dot(count, pairs, &row[s.rowHead+2*p], &row[4*b], s.rowStep, &buf.b, &buf.scales, &c[i*ldc+j], ldc, mask)
						i += count
					}
				}
			}
		}
	}
}

// blockKFP8 is the length along k of a block of A for several strips of rows.
const blockKFP8 = 512

// widenPanelFP8AVX2 widens k rows of the codes of a panel to float32, multiplied by
// 2⁻⁸, and exchanges rows p and p+1 for even p. k is even and positive.
//
//go:noescape
func widenPanelFP8AVX2(dst *float32, codes *byte, k int)

// addScaledFP8AVX2 adds sums of m rows of PanelWidth columns, multiplied by 2⁸ and
// their scales, to C. Rows of sums are ldsums elements apart, the scales of rows
// rowStep bytes; scale is that of the panel, followed by the set of columns with a
// NaN. m is positive.
//
//go:noescape
func addScaledFP8AVX2(m int, sums *float32, ldsums int, rowScales *byte, rowStep int, scale *byte, c *float32, ldc int)

// gemmFP8Widened is C += A·B by the kernels of float32. They sum up blocks of both
// operands, widened with the elements of each pair of k exchanged, so that the odd
// one is added first.
func gemmFP8Widened(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	buf := sumsFP8s.Get().(*sumsFP8)
	defer sumsFP8s.Put(buf)
	for b := range s.blocks {
		p := b * FP8Block
		kb := even(min(FP8Block, s.k-p))
		for i := 0; i < m; i += blockM {
			mb, block := min(blockM, m-i), rows[i*s.rowStep:]
			for r := range mb {
				widenPairsAVX2(&buf.a[r*kb], (*uint16)(unsafe.Pointer(&block[r*s.rowStep+s.rowHead+2*p])), kb)
			}
			for j := 0; j < n; j += widenedColumns {
				nb := min(widenedColumns, n-j)
				group := panels[j/PanelWidth*s.panelStep:]
				for q := 0; q < nb; q += PanelWidth {
					widenPanelFP8AVX2(&buf.b[q*kb], &group[q/PanelWidth*s.panelStep+s.panelHead+p*PanelWidth], kb)
				}
				GemmPacked(mb, nb, kb, buf.a[:], kb, 1, buf.b[:], buf.sums[:], widenedColumns, false)
				for q := 0; q < nb; q += PanelWidth {
					scale := &group[q/PanelWidth*s.panelStep+8*b]
					addScaledFP8(mb, min(PanelWidth, nb-q), buf.sums[q:], block[4*b:], s.rowStep, scale, c[i*ldc+j+q:], ldc)
				}
			}
		}
	}
}

// addScaledFP8 is addScaledFP8AVX2 of n ≤ PanelWidth columns of sums that are
// widenedColumns apart.
func addScaledFP8(m, n int, sums []float32, rowScales []byte, rowStep int, scale *byte, c []float32, ldc int) {
	if n == PanelWidth {
		addScaledFP8AVX2(m, &sums[0], widenedColumns, &rowScales[0], rowStep, scale, &c[0], ldc)
		return
	}
	for i := range m {
		var sum, row [PanelWidth]float32
		copy(sum[:], sums[i*widenedColumns:][:n])
		out := c[i*ldc:][:n]
		copy(row[:], out)
		addScaledFP8AVX2(1, &sum[0], PanelWidth, &rowScales[i*rowStep], rowStep, scale, &row[0], PanelWidth)
		copy(out, row[:])
	}
}

// sumsFP8 is the working memory of gemmFP8Widened.
type sumsFP8 struct {
	a    [blockM * FP8Block]float32
	b    [widenedColumns * FP8Block]float32
	sums [blockM * widenedColumns]float32
}

var sumsFP8s = sync.Pool{New: func() any { return new(sumsFP8) }}
