//go:build !noasm

package asm

// Products of BF16 by TDPBF16PS. An element of C is a chain over groups of 32 k,
// the last one shorter, in ascending order from zero or from the stored element. A
// group adds the sum of two chains of multiply-adds from zero, each ascending:
//
//	e = a[i,p]·b[p,j] + e over the even k of the group
//	o = a[i,p]·b[p,j] + o over the odd k of the group
//	c = c + (e + o)
//
// Each line rounds to nearest even once an operation. Subnormal operands count as
// zero and subnormal results become zero. This is the order of the instruction,
// found by experiment; modelTileBF16 in the tests is the definition in Go. Rows,
// columns and groups of k that a tile lacks take no part, so every shape has the
// same bits, and splitting K at a multiple of 32 changes none.

const (
	stepK      = 32  // k of one TDPBF16PS
	blockKTile = 512 // two panels' blocks, 32 KiB, stay in the first-level cache
)

// tiles2x2 computes two strips of C, 16 rows and those of cfg, and groups of two
// panels of B, panelStep apart: steps of 32 k, or one of those of cfg. steps and
// groups are positive.
//
//go:noescape
func tiles2x2(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
	groups int, resume bool)

// tiles2x1 is tiles2x2 with groups of one panel.
//
//go:noescape
func tiles2x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
	groups int, resume bool)

// tiles1x4 is tiles2x2 with one strip and groups of four panels.
//
//go:noescape
func tiles1x4(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
	groups int, resume bool)

// tiles1x1 is tiles2x2 with one strip and groups of one panel.
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
		for i := 0; i < m; i += pair {
			rows := min(pair, m-i)
			gemmStripsAMX(rows, n, kb, &a[i*ars+p], ars, bp[p*PanelWidth:], PanelWidth*k, c[i*ldc:], ldc, accumulate || p > 0)
		}
		p += kb
	}
}

// gemmStripsAMX computes up to two strips of C over k, a multiple of 32 or less than
// 32, from panels that are step apart.
func gemmStripsAMX(rows, n, k int, a *uint16, ars int, bp []uint16, step int, c []float32, ldc int, resume bool) {
	steps, groups := k/stepK, stepK/2
	if steps == 0 {
		steps, groups = 1, k/2
	}
	first, second := min(rows, tileSide), min(rows, tileSide)
	if rows > tileSide {
		second = rows - tileSide
	}
	cfg := configOf(first, second, groups, tileSide)
	panels, j := n/PanelWidth, 0
	if rows > tileSide {
		if count := panels / 2; count > 0 {
			tiles2x2(&cfg, steps, a, ars, &bp[0], step, &c[0], ldc, count, resume)
			j = 2 * count
		}
		if j < panels {
			tiles2x1(&cfg, steps, a, ars, &bp[j*step], step, &c[j*PanelWidth], ldc, panels-j, resume)
		}
	} else {
		if count := panels / 4; count > 0 {
			tiles1x4(&cfg, steps, a, ars, &bp[0], step, &c[0], ldc, count, resume)
			j = 4 * count
		}
		if j < panels {
			tiles1x1(&cfg, steps, a, ars, &bp[j*step], step, &c[j*PanelWidth], ldc, panels-j, resume)
		}
	}
	if panels*PanelWidth == n {
		return
	}
	cfg = configOf(first, second, groups, n-panels*PanelWidth)
	if rows > tileSide {
		tiles2x1(&cfg, steps, a, ars, &bp[panels*step], step, &c[panels*PanelWidth], ldc, 1, resume)
	} else {
		tiles1x1(&cfg, steps, a, ars, &bp[panels*step], step, &c[panels*PanelWidth], ldc, 1, resume)
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
