//go:build !noasm

package asm

// gemmStripAVX512 computes up to stripRowsAVX512 rows of C from k rows of the
// packed panels of n columns, panelStep apart. rows, n and k are positive.
//
//go:noescape
func gemmStripAVX512(rows, n, k int, a *float32, ars, acs int, bp *float32, panelStep int, c *float32, ldc int,
	resume bool)

// packRowsAVX512 packs a panel of n ≤ 16 adjacent columns: k rows, rs apart.
//
//go:noescape
func packRowsAVX512(dst, b *float32, k, n, rs int)

// packWideAVX512 packs four panels of adjacent columns, step apart in dst: k
// rows, rs apart.
//
//go:noescape
func packWideAVX512(dst, b *float32, k, rs, step int)

// packTransposedAVX512 packs a panel of n ≤ 16 columns, cs apart, that are
// contiguous in k.
//
//go:noescape
func packTransposedAVX512(dst, b *float32, k, n, cs int)

const (
	// stripRowsAVX512 is the number of rows of C that gemmStripAVX512 holds in
	// registers. A strip of A is read in place: as many rows as the first-level
	// cache has ways stay in it even when they are a power of two apart.
	stripRowsAVX512 = 8

	// blockB is the size of a block of B: 256 KiB stay in the second-level cache.
	blockB = 64 << 10

	// A block of A whose rows are contiguous is long, to stream through panels
	// without a break. One whose rows are apart touches a cache line for each k.
	blockKAlong  = 2048
	blockKAcross = 256
)

// gemmAVX512 is GemmPart for positive m, n and k. A block of B stays in the
// second-level cache for all strips of A, and a strip in the first or second one
// for all panels of the block.
func gemmAVX512(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, resume bool) {
	most := blockKAlong
	if acs != 1 {
		most = blockKAcross
	}
	kStep := evenStep(k, most)
	nStep := max(blockB/kStep&^(2*PanelWidth-1), 2*PanelWidth)
	for p := 0; p < k; p += kStep {
		kb := min(kStep, k-p)
		for j := 0; j < n; j += nStep {
			nb := min(nStep, n-j)
			panels := &bp[j/PanelWidth*step+p*PanelWidth]
			for i := 0; i < m; {
				rows := min(m-i, stripRowsAVX512)
				if m-i < 2*stripRowsAVX512 {
					rows = evenStep(m-i, stripRowsAVX512) // not 8 and 1: one row is slow
				}
				gemmStripAVX512(rows, nb, kb, &a[i*ars+p*acs], ars, acs, panels, step, &c[i*ldc+j], ldc, resume || p > 0)
				i += rows
			}
		}
	}
}

// evenStep returns the step that divides n into as few parts as steps of at most
// most do, but of nearly equal size.
func evenStep(n, most int) int {
	parts := (n + most - 1) / most
	return (n + parts - 1) / parts
}
