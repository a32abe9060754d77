//go:build !noasm

package asm

import "sync"

// stripRows is the number of rows of C that gemmPanelAVX2 holds in registers.
const stripRows = 6

// packRowsAVX2 packs a panel of 16 adjacent columns: k rows, rs apart.
//
//go:noescape
func packRowsAVX2(dst, b *float32, k, rs int)

// packTransposedAVX2 packs a panel of 16 columns, cs apart, whose elements are
// adjacent. k must be a multiple of 4.
//
//go:noescape
func packTransposedAVX2(dst, b *float32, k, cs int)

// packStripAVX2 packs six adjacent rows of A and k columns, acs apart.
//
//go:noescape
func packStripAVX2(dst, a *float32, k, acs int)

// gemmPanelAVX2 computes m rows of 16 columns of C from one packed panel.
// Strips of six rows of A are astep apart. m and k must be positive.
//
//go:noescape
func gemmPanelAVX2(m, k int, a *float32, ars, acs, astep int, panel, c *float32, ldc int, resume bool)

// gemmRowAVX2 computes one row of 64 columns of C from four packed panels,
// panelStep apart. k must be positive.
//
//go:noescape
func gemmRowAVX2(k int, a *float32, acs int, panel *float32, panelStep int, c *float32, resume bool)

// packWide packs those columns that are packed four panels at a time and
// returns their number. Rows a power of two apart compete for a few cache sets:
// reading whole cache lines in order is two to three times faster.
func packWide(dst, b []float32, k, n, rs, cs int) int {
	if !useAVX512 || cs != 1 {
		return 0
	}
	const wide = 4 * PanelWidth
	j := 0
	for ; j+wide <= n; j += wide {
		packWideAVX512(&dst[j*k], &b[j], k, PanelWidth, rs, k*PanelWidth)
	}
	return j
}

func packPanel(dst, b []float32, k, n, rs, cs int) {
	switch {
	case useAVX512 && cs == 1:
		packRowsAVX512(&dst[0], &b[0], k, n, rs)
	case useAVX512 && rs == 1:
		packTransposedAVX512(&dst[0], &b[0], k, n, cs)
	case !useAVX2 || n < PanelWidth:
		packPanelGeneric(dst, b, k, n, rs, cs)
	case cs == 1:
		packRowsAVX2(&dst[0], &b[0], k, rs)
	case rs == 1:
		k4 := k &^ 3
		if k4 > 0 {
			packTransposedAVX2(&dst[0], &b[0], k4, cs)
		}
		if k4 < k {
			packPanelGeneric(dst[k4*PanelWidth:], b[k4:], k-k4, n, rs, cs)
		}
	default:
		packPanelGeneric(dst, b, k, n, rs, cs)
	}
}

// A block of A is packed if its rows are adjacent and its columns are at least
// packACols apart (4 KiB), so that each column is on another page and all fall
// into the same set of the first-level cache, and if at least packAFor columns
// of C benefit.
const (
	packACols = 1024
	packAFor  = 256
)

// gemm is GemmPart for positive m, n and k.
func gemm(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, resume bool) {
	if useAVX512 {
		gemmAVX512(m, n, k, a, ars, acs, bp, step, c, ldc, resume)
		return
	}
	gemmBlocked(m, n, k, a, ars, acs, bp, step, c, ldc, resume)
}

// gemmBlock computes one block of C; see gemmBlockGeneric.
func gemmBlock(m, n, k int, a []float32, ars, acs int, bp []float32, panelStep int, c []float32, ldc int, resume bool) {
	if !useAVX2 {
		gemmBlockGeneric(m, n, k, a, ars, acs, bp, panelStep, c, ldc, resume)
		return
	}
	j := 0
	if m == 1 {
		for ; j+4*PanelWidth <= n; j += 4 * PanelWidth {
			gemmRowAVX2(k, &a[0], acs, &bp[j/PanelWidth*panelStep], panelStep, &c[j], resume)
		}
	}
	astep := stripRows * ars
	if ars == 1 && acs >= packACols && m > stripRows && n >= packAFor {
		buf := packedA.Get().(*[blockM * blockK]float32)
		defer packedA.Put(buf)
		packStrips(buf[:], a, m, k, acs)
		a, ars, acs, astep = buf[:], 1, stripRows, stripRows*k
	}
	for ; j+PanelWidth <= n; j += PanelWidth {
		gemmPanelAVX2(m, k, &a[0], ars, acs, astep, &bp[j/PanelWidth*panelStep], &c[j], ldc, resume)
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
		gemmPanelAVX2(rows, k, &a[i/stripRows*astep], ars, acs, astep, panel, &tile[0], PanelWidth, resume)
		for r := range rows {
			copy(c[(i+r)*ldc+j:][:n-j], tile[r*PanelWidth:])
		}
	}
}

// packedA recycles the memory of packed blocks of A.
var packedA = sync.Pool{New: func() any { return new([blockM * blockK]float32) }}

// packStrips copies a block of A with adjacent rows into strips of six rows:
// element (i,p) goes to dst[i/6*6*k + p*6 + i%6].
func packStrips(dst, a []float32, m, k, acs int) {
	i := 0
	for ; i+stripRows <= m; i += stripRows {
		packStripAVX2(&dst[i*k], &a[i], k, acs)
	}
	for p := range k {
		for r := range m - i {
			dst[i*k+p*stripRows+r] = a[p*acs+i+r]
		}
	}
}
