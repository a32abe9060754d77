//go:build !noasm

package asm

import "sync"

// tileRows is the number of rows of C that gemmTileDot keeps in registers.
const tileRows = 14

const (
	blockKBF16  = 1024 // panels come from the second-level cache; C is loaded and stored once for each block
	blockStrips = 7    // a block of A, 196 KiB, stays in the second-level cache
	copyRowsAt  = 2048 // rows of A a multiple of 4 KiB apart compete for a few sets of the first-level cache
)

// gemmTileDot computes rows ≤ 14 rows and columns ≤ 32 columns of C from two
// packed panels, panelStep apart. Rows of A are ars apart. rows, pairs and
// columns must be positive.
//
//go:noescape
func gemmTileDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, columns int,
	resume bool)

// gemvDot computes rows ≤ 4 rows of 64 columns of C from four packed panels,
// panelStep apart. rows and pairs must be positive.
//
//go:noescape
func gemvDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc int, resume bool)

// dotLoop runs n > 0 rounds of 16 dot products of 16 pairs.
//
//go:noescape
func dotLoop(n int)

func dotLoopBF16(n int) (flops int) {
	switch {
	case !useDot || n <= 0:
		return 0
	case useAMX:
		return tileLoopBF16(n)
	}
	dotLoop(n)
	return n * 16 * 16 * 4
}

func gemmBF16(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	switch {
	case useAMX:
		gemmBF16AMX(m, n, k, a, ars, bp, c, ldc, accumulate)
	case useDot:
		gemmBF16Dot(m, n, k, a, ars, bp, c, ldc, accumulate)
	case useAVX2:
		gemmBF16Widened(m, n, k, a, ars, bp, c, ldc, accumulate)
	default:
		gemmBF16Generic(m, n, k, a, ars, bp, c, ldc, accumulate)
	}
}

// gemmBF16Dot is GemmBF16 for even k, computed with VDPBF16PS.
func gemmBF16Dot(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	const group = 4 * PanelWidth
	j := 0
	if m <= 4 {
		for ; j+group <= n; j += group {
			gemvDot(m, k/2, &a[0], ars, &bp[j*k], PanelWidth*k, &c[j], ldc, accumulate)
		}
		if j == n {
			return
		}
	}
	var buf *[]uint16
	if ars%copyRowsAt == 0 && m > 4 {
		buf = blockOfA.Get().(*[]uint16)
		defer blockOfA.Put(buf)
	}
	// The lengths of strips of A differ by at most one row, since short strips
	// cannot hide the latency.
	strips := (m + tileRows - 1) / tileRows
	base, longer := m/strips, m%strips
	for p := 0; p < k; p += blockKBF16 {
		kb := min(blockKBF16, k-p)
		for first := 0; first < strips; first += blockStrips {
			last := min(first+blockStrips, strips)
			i0 := first*base + min(first, longer)
			i1 := last*base + min(last, longer)
			block, rs := a[i0*ars+p:], ars
			if buf != nil {
				block, rs = *buf, kb
				for i := i0; i < i1; i++ {
					copy(block[(i-i0)*kb:][:kb], a[i*ars+p:])
				}
			}
			for j := j; j < n; j += 2 * PanelWidth {
				columns := min(2*PanelWidth, n-j)
				step := PanelWidth * k
				if columns <= PanelWidth {
					step = 0 // there is no second panel, and its columns are masked
				}
				i := i0
				for s := first; s < last; s++ {
					rows := base
					if s < longer {
						rows++
					}
					gemmTileDot(rows, kb/2, &block[(i-i0)*rs], rs, &bp[j*k+p*PanelWidth], step, &c[i*ldc+j], ldc, columns,
						accumulate || p > 0)
					i += rows
				}
			}
		}
	}
}

// blockOfA recycles the memory of copied blocks of A.
var blockOfA = sync.Pool{New: func() any {
	block := make([]uint16, blockStrips*tileRows*blockKBF16)
	return &block
}}

// gemmBF16Widened is GemmBF16 for even k, computed by the float32 kernels.
// Blocks of both operands are widened with the elements of each pair of k
// exchanged, so that the odd one is added first.
func gemmBF16Widened(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	buf := widened.Get().(*widenedBlocks)
	defer widened.Put(buf)
	for p := 0; p < k; p += blockK {
		kb := min(blockK, k-p)
		for i := 0; i < m; i += blockM {
			mb := min(blockM, m-i)
			for r := range mb {
				widenPairsAVX2(&buf.a[r*kb], &a[(i+r)*ars+p], kb)
			}
			for j := 0; j < n; j += widenedColumns {
				nb := min(widenedColumns, n-j)
				for q := 0; q < nb; q += PanelWidth {
					widenPanelAVX2(&buf.b[q*kb], &bp[(j+q)*k+p*PanelWidth], kb)
				}
				GemmPacked(mb, nb, kb, buf.a[:], kb, 1, buf.b[:], c[i*ldc+j:], ldc, accumulate || p > 0)
			}
		}
	}
}

const widenedColumns = 4 * PanelWidth

type widenedBlocks struct {
	a [blockM * blockK]float32
	b [widenedColumns * blockK]float32
}

var widened = sync.Pool{New: func() any { return new(widenedBlocks) }}

// widenPairsAVX2 sets dst[p] and dst[p+1] to x[p+1] and x[p] for even p < k.
//
//go:noescape
func widenPairsAVX2(dst *float32, x *uint16, k int)

// widenPanelAVX2 widens a block of k rows of a packed panel to float32 and
// exchanges rows p and p+1 for even p. k must be even and positive.
//
//go:noescape
func widenPanelAVX2(dst *float32, panel *uint16, k int)
