//go:build !noasm

package asm

import "sync"

// gemmColumnsAVX512 computes m rows of n ≤ 64 columns of C from k rows of the
// packed panels of bp, panelStep apart. It computes rows at a time: at most 14,
// or 4 if n is greater than 32. Such strips of A are astep apart. Meanwhile, if
// n is 17 to 32, it prefetches two regions of memory: one starts fetchOffset
// elements after fetch, the other fetchApart elements later, and each k of a
// strip adds fetchStep bytes. All sizes must be positive, and n must not be 33
// to 48.
//
//go:noescape
func gemmColumnsAVX512(m, rows, n, k int, a *float32, ars, acs, astep int, bp *float32, panelStep int,
	c *float32, ldc int, fetch *float32, fetchOffset, fetchApart, fetchStep int, resume bool)

// packRowsAVX512 packs a panel of n ≤ 16 adjacent columns: k rows, rs apart.
//
//go:noescape
func packRowsAVX512(dst, b *float32, k, n, rs int)

// packWideAVX512 packs four panels of n ≤ 16 columns each, all adjacent, step
// apart in dst: k rows, rs apart.
//
//go:noescape
func packWideAVX512(dst, b *float32, k, n, rs, step int)

// packTransposedAVX512 packs a panel of n ≤ 16 columns, cs apart, whose
// elements are adjacent.
//
//go:noescape
func packTransposedAVX512(dst, b *float32, k, n, cs int)

const (
	// stripRowsAVX512 is the number of rows of C that gemmColumnsAVX512 keeps
	// in registers, and of A in a strip. If A is read in place and its rows are
	// a multiple of aliasAVX512 (4 KiB) apart, a strip has aliasRowsAVX512
	// rows, since only as many stay in the first-level cache as it has ways.
	stripRowsAVX512 = 14
	aliasRowsAVX512 = 8
	aliasAVX512     = 1024

	// packAcrossFor is the minimum number of columns of C for which packing a
	// block of A with adjacent rows pays off: packing exchanges no lanes, and
	// in place each k is on another cache line. For other blocks it is
	// packAFor. Up to packAcrossPast elements stay in the first-level cache in
	// place, unless their lines compete for a few sets of it.
	packAcrossFor  = 64
	packAcrossPast = 4096

	// fourRowsAVX512 is the maximum number of rows for which four panels are
	// used at a time.
	fourRowsAVX512 = 4

	// packTogether is the number of columns of A, with adjacent rows, that are
	// packed for all strips before the next.
	packTogether = 128

	// The depth for panels that do not stay in the first-level cache, since a
	// single strip reads them once or they stream: long, to read them without a
	// break, unless A has another cache line for each k.
	depthAlong  = 2048
	depthAcross = 256
)

// streamPanels is set if panels come from the second-level cache for every
// strip: C is loaded and stored once for each depth, and with a first-level
// cache of 32 KiB, a depth whose panels stay there is too short. A with
// adjacent columns is then read in place, in strips of aliasRowsAVX512 rows.
// This was measured on Zen 4.
var streamPanels = cacheL1 < 48<<10 && cacheL2 >= 1<<20

// Two panels of depthAVX512 rows fill the first-level cache, unless panels
// stream. A packed block of A fills half of the second-level cache, or three
// quarters if panels stream.
var (
	depthAVX512  = cacheL1 / (4 * 2 * PanelWidth)
	blockAAVX512 = blockA()
)

func blockA() int {
	if streamPanels {
		return cacheL2 / 4 * 3 / 4
	}
	return cacheL2 / 4 / 2
}

// blockedA recycles the memory of packed blocks of A.
var blockedA = sync.Pool{New: func() any {
	buf := make([]float32, blockAAVX512)
	return &buf
}}

// gemmAVX512 is GemmPart for positive m, n and k. It goes through blocks of A
// and, for each, through all columns, two or four panels at a time. These
// panels stay in the first-level cache for all strips of the block, unless they
// stream, and their part of C in the second-level cache for all depths. A block
// is packed if it has more than a few rows and enough columns benefit, unless
// it is read in place because panels stream.
func gemmAVX512(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, resume bool) {
	g := gemmBlocksAVX512{a: a, ars: ars, acs: acs, bp: bp, step: step, ldc: ldc}
	inPlace := streamPanels && acs == 1
	most := stripRowsAVX512
	across := ars == 1 && n >= packAcrossFor && (m*k > packAcrossPast || acs%aliasAVX512 == 0)
	if !inPlace && m > aliasRowsAVX512 && (n >= packAFor || across) {
		buf := blockedA.Get().(*[]float32)
		defer blockedA.Put(buf)
		g.packed = *buf
	} else if inPlace || ars%aliasAVX512 == 0 {
		most = aliasRowsAVX512
	}
	g.depth = evenStep(k, depthAVX512)
	if streamPanels && (acs == 1 || g.packed != nil) {
		g.depth = evenStep(k, depthAlong)
	}
	if m <= most {
		g.depth = evenStep(k, depthAlong)
		if g.packed == nil && acs != 1 {
			g.depth = evenStep(k, depthAcross)
		}
	}
	rows := evenStep(m, blockAAVX512/(PanelWidth*g.depth)*most)
	g.rows = evenStep(rows, most)
	g.blockStep = (rows + g.rows - 1) / g.rows * PanelWidth * g.depth
	depths := evenStep((k+g.depth-1)/g.depth, blockAAVX512/g.blockStep) * g.depth
	for i := 0; i < m; i += rows {
		for p := 0; p < k; p += depths {
			g.block(i, min(rows, m-i), p, min(depths, k-p), n, c, resume || p > 0)
		}
	}
}

// gemmBlocksAVX512 is the operands of gemmAVX512 and the sizes of their blocks.
type gemmBlocksAVX512 struct {
	a         []float32
	ars, acs  int
	packed    []float32 // a block of A in strips, or nil if A is read in place
	blockStep int       // distance in packed from one depth to the next
	rows      int       // rows of a strip
	depth     int       // number of k that a strip computes at a time
	bp        []float32
	step, ldc int
}

// block multiplies m rows of A, from i on, and k columns, from p on.
func (g *gemmBlocksAVX512) block(i, m, p, k, n int, c []float32, resume bool) {
	if g.packed != nil {
		g.pack(i, m, p, k)
	}
	width := 2 * PanelWidth
	if m <= fourRowsAVX512 {
		width = 4 * PanelWidth
	}
	strips := (m + g.rows - 1) / g.rows
	for j, columns := 0, 0; j < n; j += columns {
		columns = min(width, n-j)
		if columns > 2*PanelWidth && columns <= 3*PanelWidth {
			columns = 2 * PanelWidth
		}
		panels := g.bp[j/PanelWidth*g.step+p*PanelWidth:]
		for q := 0; q < k; q += g.depth {
			part := min(g.depth, k-q)
			a, ars, acs, astep := &g.a[i*g.ars+(p+q)*g.acs], g.ars, g.acs, g.rows*g.ars
			if g.packed != nil {
				a, ars, acs, astep = &g.packed[q/g.depth*g.blockStep], 1, PanelWidth, PanelWidth*part
			}
			// For a single strip, prefetch panels 4 KiB ahead, beyond the page
			// at whose end the processor's own prefetcher stops; otherwise
			// prefetch the next strips of A if they are adjacent and read for
			// the first time, or the next panels.
			fetch, from, apart, fetchStep := &panels[q*PanelWidth], 64*PanelWidth, g.step, 4*PanelWidth
			switch {
			case strips == 1:
			case j == 0 && g.packed == nil && g.acs == 1 && g.ars == part:
				fetch, from, apart, fetchStep = a, astep, astep, 4*g.rows
			default:
				from, fetchStep = PanelWidth*part, (4*PanelWidth+strips-1)/strips
				if q+part == k {
					from = 2*g.step - PanelWidth*q
				}
			}
			gemmColumnsAVX512(m, g.rows, columns, part, a, ars, acs, astep, &panels[q*PanelWidth], g.step,
				&c[i*g.ldc+j], g.ldc, fetch, from, apart, fetchStep, resume || q > 0)
		}
	}
}

// pack packs a block of A depth by depth. Adjacent rows are packed four strips
// at a time, and packTogether columns of all strips before the next ones, so that
// every cache line is read while it is near.
func (g *gemmBlocksAVX512) pack(i, m, p, k int) {
	for q := 0; q < k; q += g.depth {
		part := min(g.depth, k-q)
		dst, a := g.packed[q/g.depth*g.blockStep:], g.a[i*g.ars+(p+q)*g.acs:]
		step := PanelWidth * part
		if g.ars != 1 {
			for r := 0; r < m; r += g.rows {
				packPanel(dst[r/g.rows*step:][:step], a[r*g.ars:], part, min(g.rows, m-r), g.acs, g.ars)
			}
			continue
		}
		for s := 0; s < part; s += packTogether {
			n, r := min(packTogether, part-s), 0
			for ; r+4*g.rows <= m; r += 4 * g.rows {
				packWideAVX512(&dst[r/g.rows*step+s*PanelWidth], &a[r+s*g.acs], n, g.rows, g.acs, step)
			}
			for ; r < m; r += g.rows {
				packRowsAVX512(&dst[r/g.rows*step+s*PanelWidth], &a[r+s*g.acs], n, min(g.rows, m-r), g.acs)
			}
		}
	}
}

// evenStep returns the step that divides n into as few parts as steps of at
// most most do, but of nearly equal size.
func evenStep(n, most int) int {
	if n <= most {
		return n
	}
	parts := (n + most - 1) / most
	return (n + parts - 1) / parts
}
