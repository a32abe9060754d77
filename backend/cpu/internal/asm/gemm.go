package asm

// M is the number of rows of A and C, N the number of columns of B and C, K the
// reduction length.

// PanelWidth is the number of columns of B in one packed panel.
const PanelWidth = 16

const (
	blockK = 384 // a block of a panel, 24 KiB, stays in the first-level cache
	blockM = 192 // a block of A, 288 KiB, stays in the second-level cache
)

// PackedSize returns the length of the packed form of a K×N matrix, in elements.
func PackedSize(k, n int) int {
	return (n + PanelWidth - 1) / PanelWidth * PanelWidth * k
}

// PackB copies the K×N matrix b, with element (p,j) at b[p*rs+j*cs], into
// panels of PanelWidth columns: element (p,j) goes to dst[(j/16)*16*k + p*16 +
// j%16]. Missing columns of the last panel become zeros. dst has PackedSize(k,
// n) elements.
//
// Panels are independent: columns j0 to j1, with j0 a multiple of PanelWidth,
// are packed by PackB(dst[j0*k:], b[j0*cs:], k, j1-j0, rs, cs).
func PackB(dst, b []float32, k, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("PackB", "dst", len(dst), PackedSize(k, n))
	need("PackB", "b", len(b), extent(k, n, rs, cs))
	for j := packWide(dst, b, k, n, rs, cs); j < n; j += PanelWidth {
		packPanel(dst[j*k:][:PanelWidth*k], b[j*cs:], k, min(PanelWidth, n-j), rs, cs)
	}
}

// packPanelGeneric packs one panel of n ≤ PanelWidth columns.
func packPanelGeneric(dst, b []float32, k, n, rs, cs int) {
	for p := range k {
		row := dst[p*PanelWidth:][:PanelWidth]
		for j := range n {
			row[j] = b[p*rs+j*cs]
		}
		clear(row[n:])
	}
}

// GemmPacked computes C = A·B, or C += A·B if accumulate is set. A is M×K with
// element (i,p) at a[i*ars+p*acs]; bp is B packed by PackB(bp, b, k, n, …); C
// is M×N with element (i,j) at c[i*ldc+j].
//
// Each element of C is one chain c = a·b + c in ascending p, starting from zero
// or from the stored element. So the bits do not change if K is split into two
// calls, the second of which accumulates, or if M or N is split: rows i0 to i1
// are GemmPacked(i1-i0, n, k, a[i0*ars:], …, c[i0*ldc:], …), and columns j0 to
// j1, with j0 a multiple of PanelWidth, are GemmPacked(m, j1-j0, k, a, …,
// bp[j0*k:], c[j0:], …).
func GemmPacked(m, n, k int, a []float32, ars, acs int, bp, c []float32, ldc int, accumulate bool) {
	GemmPart(m, n, k, a, ars, acs, bp, k*PanelWidth, c, ldc, accumulate)
}

// GemmPart is GemmPacked with k rows of longer panels: bp starts at the first
// of these rows, and panels are step elements apart.
func GemmPart(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, accumulate bool) {
	if m <= 0 || n <= 0 {
		return
	}
	needRows("GemmPacked", "c", m, n, ldc)
	need("GemmPacked", "c", len(c), extent(m, n, ldc, 1))
	if k <= 0 {
		if !accumulate {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return
	}
	need("GemmPacked", "a", len(a), extent(m, k, ars, acs))
	need("GemmPacked", "bp", len(bp), (n-1)/PanelWidth*step+k*PanelWidth)
	gemm(m, n, k, a, ars, acs, bp, step, c, ldc, accumulate)
}

// gemmBlocked is GemmPart split into blocks that gemmBlock computes.
func gemmBlocked(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, resume bool) {
	for p := 0; p < k; p += blockK {
		kb := min(blockK, k-p)
		for i := 0; i < m; i += blockM {
			mb := min(blockM, m-i)
			gemmBlock(mb, n, kb, a[i*ars+p*acs:], ars, acs, bp[p*PanelWidth:], step, c[i*ldc:], ldc, resume || p > 0)
		}
	}
}

// gemmBlockGeneric computes m rows of C for k ≤ blockK, starting from C if
// resume is set and from zero otherwise. Panels of B are panelStep elements
// apart. Four columns at a time share the loads of A.
func gemmBlockGeneric(m, n, k int, a []float32, ars, acs int, bp []float32, panelStep int, c []float32, ldc int,
	resume bool) {
	for j := 0; j < n; j += PanelWidth {
		panel := bp[j/PanelWidth*panelStep:][:k*PanelWidth]
		width := min(PanelWidth, n-j)
		for i := range m {
			var row [PanelWidth]float32
			out := c[i*ldc+j:][:width]
			if resume {
				copy(row[:], out)
			}
			for q := 0; q < width; q += 4 {
				c0, c1, c2, c3 := row[q], row[q+1], row[q+2], row[q+3]
				for p := range k {
					x := a[i*ars+p*acs]
					b := panel[p*PanelWidth+q:][:4]
					c0 += float32(x * b[0])
					c1 += float32(x * b[1])
					c2 += float32(x * b[2])
					c3 += float32(x * b[3])
				}
				row[q], row[q+1], row[q+2], row[q+3] = c0, c1, c2, c3
			}
			copy(out, row[:])
		}
	}
}
