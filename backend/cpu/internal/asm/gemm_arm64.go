//go:build !noasm

package asm

// stripRows is the number of rows of C that gemmPanelNEON holds in registers.
const stripRows = 6

// packRowsNEON packs a panel of 16 adjacent columns: k rows, rs apart.
//
//go:noescape
func packRowsNEON(dst, b *float32, k, rs int)

// packTransposedNEON packs a panel of 16 columns, cs apart, whose elements are
// adjacent. k must be a multiple of 4.
//
//go:noescape
func packTransposedNEON(dst, b *float32, k, cs int)

// gemmPanelNEON computes m rows of 16 columns of C from one packed panel. m and
// k must be positive.
//
//go:noescape
func gemmPanelNEON(m, k int, a *float32, ars, acs int, panel, c *float32, ldc int, resume bool)

// gemmRowNEON computes one row of 64 columns of C from four packed panels,
// panelStep apart. k must be positive.
//
//go:noescape
func gemmRowNEON(k int, a *float32, acs int, panel *float32, panelStep int, c *float32, resume bool)

// packWide returns 0: no kernel here packs several panels at a time.
func packWide(dst, b []float32, k, n, rs, cs int) int { return 0 }

func packPanel(dst, b []float32, k, n, rs, cs int) {
	switch {
	case !useNEON || n < PanelWidth:
		packPanelGeneric(dst, b, k, n, rs, cs)
	case cs == 1:
		packRowsNEON(&dst[0], &b[0], k, rs)
	case rs == 1:
		k4 := k &^ 3
		if k4 > 0 {
			packTransposedNEON(&dst[0], &b[0], k4, cs)
		}
		if k4 < k {
			packPanelGeneric(dst[k4*PanelWidth:], b[k4:], k-k4, n, rs, cs)
		}
	default:
		packPanelGeneric(dst, b, k, n, rs, cs)
	}
}

func gemm(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, resume bool) {
	gemmBlocked(m, n, k, a, ars, acs, bp, step, c, ldc, resume)
}

// gemmBlock computes one block of C; see gemmBlockGeneric.
func gemmBlock(m, n, k int, a []float32, ars, acs int, bp []float32, panelStep int, c []float32, ldc int, resume bool) {
	if !useNEON {
		gemmBlockGeneric(m, n, k, a, ars, acs, bp, panelStep, c, ldc, resume)
		return
	}
	j := 0
	if m == 1 {
		for ; j+4*PanelWidth <= n; j += 4 * PanelWidth {
			gemmRowNEON(k, &a[0], acs, &bp[j/PanelWidth*panelStep], panelStep, &c[j], resume)
		}
	}
	for ; j+PanelWidth <= n; j += PanelWidth {
		gemmPanelNEON(m, k, &a[0], ars, acs, &bp[j/PanelWidth*panelStep], &c[j], ldc, resume)
	}
	if j == n {
		return
	}
	// The last panel is padded with zeros but C is not, so compute a full tile.
	var tile [stripRows * PanelWidth]float32
	panel := &bp[j/PanelWidth*panelStep]
	for i := 0; i < m; i += stripRows {
		rows := min(stripRows, m-i)
		if resume {
			for r := range rows {
				copy(tile[r*PanelWidth:], c[(i+r)*ldc+j:][:n-j])
			}
		}
		gemmPanelNEON(rows, k, &a[i*ars], ars, acs, panel, &tile[0], PanelWidth, resume)
		for r := range rows {
			copy(c[(i+r)*ldc+j:][:n-j], tile[r*PanelWidth:])
		}
	}
}
