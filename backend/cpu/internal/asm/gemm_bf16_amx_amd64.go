//go:build !noasm

package asm

// The order of TDPBF16PS, which GemmBF16 documents, was found by experiment;
// tileSumBF16 in the tests is its definition in Go. Rows, columns and pairs of k that a
// tile lacks take no part, so that every shape has the same bits.

const (
	stepK      = 32  // k of one TDPBF16PS
	blockKTile = 512 // two panels' blocks, 32 KiB, stay in the first-level cache while strips of A stream
)

// tiles2x2 computes pairs of strips of C, of 16 rows or those of cfg, and groups of
// two panels of B, panelStep apart: steps of 32 k, or one of those of cfg. steps,
// groups and strips, which counts the pairs, are positive.
//
//go:noescape
func tiles2x2(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups,
	strips int, resume bool)

// tiles2x1 is tiles2x2 with groups of one panel.
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

// gemmBF16AMX is GemmBF16 for even k by TDPBF16PS.
func gemmBF16AMX(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	const pair = 2 * tileSide
	whole, most := k-k%stepK, blockKTile
	if m <= pair {
		most = whole // panels are used once
	}
	for p := 0; p < k; {
		kb := min(most, whole-p)
		if p == whole {
			kb = k - whole
		}
		t := tileProduct{k: kb, ars: ars, step: PanelWidth * k, ldc: ldc, resume: accumulate || p > 0}
		panels, i := bp[p*PanelWidth:], m-m%pair
		if i > 0 {
			t.pairs(i/pair, pair, n, &a[p], panels, c)
		}
		switch rest := m - i; {
		case rest > tileSide:
			t.pairs(1, rest, n, &a[i*ars+p], panels, c[i*ldc:])
		case rest > 0:
			t.single(rest, n, &a[i*ars+p], panels, c[i*ldc:])
		}
		p += kb
	}
}

// tileProduct is a product over k, a multiple of 32 or less than 32, with panels that
// are step apart.
type tileProduct struct {
	k, ars, step, ldc int
	resume            bool
}

// steps is the number of steps, and the pairs of k in each.
func (t *tileProduct) steps() (steps, pairs int) {
	if t.k < stepK {
		return 1, t.k / 2
	}
	return t.k / stepK, stepK / 2
}

// pairs computes pairs of strips of C of the given number of rows each.
func (t *tileProduct) pairs(strips, rows, n int, a *uint16, bp []uint16, c []float32) {
	steps, words := t.steps()
	cfg := configOf(tileSide, rows-tileSide, words, tileSide)
	j := 0
	if groups := n / (2 * PanelWidth); groups > 0 {
		tiles2x2(&cfg, steps, a, t.ars, &bp[0], t.step, &c[0], t.ldc, groups, strips, t.resume)
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
