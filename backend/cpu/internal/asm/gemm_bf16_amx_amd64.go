//go:build !noasm

package asm

// GemmBF16 documents the order of TDPBF16PS, which was found by experiment;
// tileSumBF16 in the tests defines it in Go. Rows, columns and pairs of k that
// a tile lacks do not affect the others, so every tile shape gives the same
// bits.

const (
	stepK      = 32      // k of one TDPBF16PS
	blockKTile = 512     // blocks of two panels, 32 KiB, stay in the first-level cache while strips of A stream through
	tilesOfA   = 7 << 16 // elements of B, 256 KiB, that stay there until the remaining rows are computed
	tilesOfB   = 1 << 17 // elements of B, 256 KiB, that stay there for up to pairRows rows
	pairRows   = 2 * tileSide
)

// tiles2x2 computes pairs of strips of C, of 16 rows or those of cfg, and
// groups of two panels of B, panelStep apart. It takes steps of 32 k, or one
// step of the k of cfg, in blocks of block steps, of which the last may be
// shorter. steps, groups, strips (the number of pairs) and block must be
// positive. more says that C has columns after the last group.
//
//go:noescape
func tiles2x2(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups,
	strips, block int, resume, more bool)

// tiles2x1 is tiles2x2 with groups of one panel and a single block.
//
//go:noescape
func tiles2x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups,
	strips int, resume bool)

// tiles1x4 is tiles2x2 with a single strip and groups of four panels.
//
//go:noescape
func tiles1x4(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
	groups int, resume bool)

// tiles1x1 is tiles1x4 with groups of one panel.
//
//go:noescape
func tiles1x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
	groups int, resume bool)

// gemmBF16AMX is GemmBF16 for even k, computed with TDPBF16PS.
func gemmBF16AMX(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	whole := k - k%stepK
	most := whole
	if m > pairRows { // with fewer rows, panels are used once
		most = equal(whole, max(tilesOfA/m/blockKTile, 1)*blockKTile, stepK)
	}
	for p := 0; p < k; {
		kb := min(most, whole-p)
		if p == whole {
			kb = k - whole
		}
		t := tileProduct{m: m, k: kb, ars: ars, step: PanelWidth * k, ldc: ldc, resume: accumulate || p > 0}
		t.run(n, a[p:], bp[p*PanelWidth:], c)
		p += kb
	}
}

// tileProduct is a product of m rows and k columns of A, where k is a multiple
// of 32 or less than 32, by panels that are step apart.
type tileProduct struct {
	m, k, ars, step, ldc int
	resume               bool
}

// run computes all rows for a few panels before it goes on to the next panels,
// if there are more rows than one kernel computes.
func (t *tileProduct) run(n int, a, bp []uint16, c []float32) {
	columns := n
	if t.m > pairRows && t.m%pairRows != 0 {
		const group = 4 * PanelWidth
		columns = max(tilesOfB/t.k/group, 1) * group
	}
	for j := 0; j < n; j += columns {
		panels, part, i := bp[j/PanelWidth*t.step:], min(columns, n-j), t.m-t.m%pairRows
		if i > 0 {
			t.pairs(i/pairRows, pairRows, part, &a[0], panels, c[j:], j+part < n)
		}
		switch rest := t.m - i; {
		case rest > tileSide:
			t.pairs(1, rest, part, &a[i*t.ars], panels, c[i*t.ldc+j:], j+part < n)
		case rest > 0:
			t.single(rest, part, &a[i*t.ars], panels, c[i*t.ldc+j:])
		}
	}
}

// equal returns the size of the fewest equal pieces of n no longer than most.
// The size is rounded up to a multiple of unit, which must divide most.
func equal(n, most, unit int) int {
	pieces := max((n+most-1)/most, 1)
	return (n + pieces*unit - 1) / (pieces * unit) * unit
}

// steps returns the number of steps and the pairs of k in each.
func (t *tileProduct) steps() (steps, pairs int) {
	if t.k < stepK {
		return 1, t.k / 2
	}
	return t.k / stepK, stepK / 2
}

// pairs computes pairs of strips of C with the given number of rows each. more
// says that C has more columns than n.
func (t *tileProduct) pairs(strips, rows, n int, a *uint16, bp []uint16, c []float32, more bool) {
	steps, words := t.steps()
	block := steps
	if strips > 1 {
		block = equal(steps, blockKTile/stepK, 1)
	}
	cfg := configOf(tileSide, rows-tileSide, words, tileSide)
	j := 0
	if groups := n / (2 * PanelWidth); groups > 0 {
		tiles2x2(&cfg, steps, a, t.ars, &bp[0], t.step, &c[0], t.ldc, groups, strips, block, t.resume, more)
		j = groups * 2 * PanelWidth
	}
	if n-j >= PanelWidth {
		tiles2x1(&cfg, steps, a, t.ars, &bp[j/PanelWidth*t.step], t.step, &c[j], t.ldc, 1, strips, t.resume)
		j += PanelWidth
	}
	if j < n {
		cfg = configOf(tileSide, rows-tileSide, words, n-j)
		tiles2x1(&cfg, steps, a, t.ars, &bp[j/PanelWidth*t.step], t.step, &c[j], t.ldc, 1, strips, t.resume)
	}
}

// single computes up to 16 rows of C.
func (t *tileProduct) single(rows, n int, a *uint16, bp []uint16, c []float32) {
	steps, words := t.steps()
	cfg := configOf(rows, rows, words, tileSide)
	j := 0
	if groups := n / (4 * PanelWidth); groups > 0 {
		tiles1x4(&cfg, steps, a, t.ars, &bp[0], t.step, &c[0], t.ldc, groups, t.resume)
		j = groups * 4 * PanelWidth
	}
	if groups := (n - j) / PanelWidth; groups > 0 {
		tiles1x1(&cfg, steps, a, t.ars, &bp[j/PanelWidth*t.step], t.step, &c[j], t.ldc, groups, t.resume)
		j += groups * PanelWidth
	}
	if j < n {
		cfg = configOf(rows, rows, words, n-j)
		tiles1x1(&cfg, steps, a, t.ars, &bp[j/PanelWidth*t.step], t.step, &c[j], t.ldc, 1, t.resume)
	}
}

// tileLoop runs n > 0 rounds of four products of whole tiles in registers.
//
//go:noescape
func tileLoop(cfg *tileConfig, n int)

// tileLoopBF16 runs n > 0 rounds and returns the number of operations.
func tileLoopBF16(n int) (flops int) {
	cfg := configOf(tileSide, tileSide, stepK/2, tileSide)
	tileLoop(&cfg, n)
	return n * 4 * 2 * tileSide * tileSide * stepK
}
