//go:build !noasm

package asm

// gemmQ8Dot computes m rows of those of up to 32 columns of C whose bit is set
// in mask, from two packed panels, panelStep bytes apart. Rows of A are rowStep
// bytes apart. m and blocks must be positive.
//
//go:noescape
func gemmQ8Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32, ldc int, mask uint32,
	resume bool)

// gemmQ4Dot is gemmQ8Dot for panels of Q4.
//
//go:noescape
func gemmQ4Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32, ldc int, mask uint32,
	resume bool)

// gemmQ4_1Dot is gemmQ8Dot for panels of Q4_1.
//
//go:noescape
func gemmQ4_1Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32, ldc int, mask uint32,
	resume bool)

// gemvQ8Dot computes m ≤ 4 rows and n columns of C from adjacent panels.
//
//go:noescape
func gemvQ8Dot(m, blocks int, rows *byte, rowStep int, panel *byte, n int, c *float32, ldc int, resume bool)

// gemvQ4Dot is gemvQ8Dot for panels of Q4.
//
//go:noescape
func gemvQ4Dot(m, blocks int, rows *byte, rowStep int, panel *byte, n int, c *float32, ldc int, resume bool)

// gemvQ4_1Dot is gemvQ8Dot for panels of Q4_1.
//
//go:noescape
func gemvQ4_1Dot(m, blocks int, rows *byte, rowStep int, panel *byte, n int, c *float32, ldc int, resume bool)

// gemmQ8AVX2 computes m rows of 16 columns of C from one packed panel.
//
//go:noescape
func gemmQ8AVX2(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)

// gemmQ4AVX2 is gemmQ8AVX2 for panels of Q4.
//
//go:noescape
func gemmQ4AVX2(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)

// gemmQ4_1AVX2 is gemmQ8AVX2 for panels of Q4_1.
//
//go:noescape
func gemmQ4_1AVX2(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)

// int8LoopDot runs n rounds of eight independent dot products of 64 bytes.
func int8LoopDot(n int)

func gemmQ8(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	switch {
	case useAMX:
		gemmQuantAMX(m, n, blocks, rows, bp, blockBytesQ8, c, ldc, accumulate)
	case useDot:
		gemmQuantDot(m, n, blocks, rows, blocks*rowBlockBytes, bp, blocks*blockBytesQ8, blockBytesQ8, c, ldc, accumulate)
	case useAVX2:
		gemmQuantAVX2(m, n, blocks, rows, bp, blockBytesQ8, c, ldc, accumulate)
	default:
		gemmQ8Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
	}
}

func gemmQ4(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	switch {
	case useAMX:
		gemmQuantAMX(m, n, blocks, rows, bp, blockBytesQ4, c, ldc, accumulate)
	case useDot:
		gemmQuantDot(m, n, blocks, rows, blocks*rowBlockBytes, bp, blocks*blockBytesQ4, blockBytesQ4, c, ldc, accumulate)
	case useAVX2:
		gemmQuantAVX2(m, n, blocks, rows, bp, blockBytesQ4, c, ldc, accumulate)
	default:
		gemmQ4Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
	}
}

// gemmQ4_1 uses VPDPBUSD also on path amx, where it has no tile kernel.
func gemmQ4_1(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	switch {
	case useDot:
		gemmQuantDot(m, n, blocks, rows, blocks*rowBlockBytes, bp, blocks*blockBytesQ4_1, blockBytesQ4_1, c, ldc,
			accumulate)
	case useAVX2:
		gemmQuantAVX2(m, n, blocks, rows, bp, blockBytesQ4_1, c, ldc, accumulate)
	default:
		gemmQ4_1Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
	}
}

// rowsQuantBytes is the maximum size of a block of rows of A, which stays in
// the second-level cache while the panels stream through.
const rowsQuantBytes = 512 << 10

// rowsQuant returns the number of rows of A in a block: whole strips of six.
func rowsQuant(rowStep int) int { return max(rowsQuantBytes/(6*rowStep), 4) * 6 }

// gemmQuantDot runs the kernel of the format with blocks of blockBytes for
// blocks of rows, rowStep bytes apart, and pairs of panels, panelStep apart.
func gemmQuantDot(m, n, blocks int, rows []byte, rowStep int, bp []byte, panelStep, blockBytes int, c []float32,
	ldc int, accumulate bool) {
	few, adjacent := m == 1 || m <= gemvRowsQuant && m*rowStep <= gemvRowsBytes, panelStep == blocks*blockBytes
	if few && adjacent {
		gemvQuantDot(m, n, blocks, rows, rowStep, bp, blockBytes, c, ldc, accumulate)
		return
	}
	most := rowsQuant(rowStep)
	for i := 0; i < m; i += most {
		mb, row := min(most, m-i), &rows[i*rowStep]
		for j := 0; j < n; j += 2 * PanelWidth {
			mask, second := ^uint32(0), panelStep
			if left := n - j; left < 2*PanelWidth {
				mask = 1<<left - 1
				if left <= PanelWidth {
					second = 0 // no second panel: its columns are masked
				}
			}
			panel, out := &bp[j/PanelWidth*panelStep], &c[i*ldc+j]
			switch blockBytes {
			case blockBytesQ8:
				gemmQ8Dot(mb, blocks, row, rowStep, panel, second, out, ldc, mask, accumulate)
			case blockBytesQ4:
				gemmQ4Dot(mb, blocks, row, rowStep, panel, second, out, ldc, mask, accumulate)
			case blockBytesQ4_1:
				gemmQ4_1Dot(mb, blocks, row, rowStep, panel, second, out, ldc, mask, accumulate)
			}
		}
	}
}

// gemvQuantDot is used for up to gemvRowsQuant rows, of which several must be no
// longer than gemvRowsBytes together: they are read for each panel and must stay
// in the first-level cache while it streams through.
const (
	gemvRowsQuant = 4
	gemvRowsBytes = 8 << 10
)

// gemvQuantDot is gemmQuantDot for few rows and adjacent panels, which it reads
// in ascending order: one core of Zen 4 reads Q4 from memory 1.8 times as fast
// as by two panels at a time, and Q8 1.3 times.
func gemvQuantDot(m, n, blocks int, rows []byte, rowStep int, bp []byte, blockBytes int, c []float32, ldc int,
	accumulate bool) {
	switch blockBytes {
	case blockBytesQ8:
		gemvQ8Dot(m, blocks, &rows[0], rowStep, &bp[0], n, &c[0], ldc, accumulate)
	case blockBytesQ4:
		gemvQ4Dot(m, blocks, &rows[0], rowStep, &bp[0], n, &c[0], ldc, accumulate)
	case blockBytesQ4_1:
		gemvQ4_1Dot(m, blocks, &rows[0], rowStep, &bp[0], n, &c[0], ldc, accumulate)
	}
}

// gemmQuantAVX2 runs the kernel of the format with blocks of blockBytes for
// blocks of rows and single panels.
func gemmQuantAVX2(m, n, blocks int, rows, bp []byte, blockBytes int, c []float32, ldc int, accumulate bool) {
	rowStep, panelStep := blocks*rowBlockBytes, blocks*blockBytes
	most := rowsQuant(rowStep)
	whole := n &^ (PanelWidth - 1)
	for i := 0; i < m; i += most {
		for j := 0; j < whole; j += PanelWidth {
			gemmPanelQuantAVX2(min(most, m-i), blocks, &rows[i*rowStep], rowStep, &bp[j/PanelWidth*panelStep], blockBytes,
				&c[i*ldc+j], ldc, accumulate)
		}
	}
	if whole == n {
		return
	}
	// The last panel is padded but C is not, so compute full rows.
	panel := &bp[whole/PanelWidth*panelStep]
	for i := range m {
		var row [PanelWidth]float32
		out := c[i*ldc+whole:][:n-whole]
		if accumulate {
			copy(row[:], out)
		}
		gemmPanelQuantAVX2(1, blocks, &rows[i*rowStep], rowStep, panel, blockBytes, &row[0], PanelWidth, accumulate)
		copy(out, row[:])
	}
}

func gemmPanelQuantAVX2(m, blocks int, rows *byte, rowStep int, panel *byte, blockBytes int, c *float32, ldc int,
	resume bool) {
	switch blockBytes {
	case blockBytesQ8:
		gemmQ8AVX2(m, blocks, rows, rowStep, panel, c, ldc, resume)
	case blockBytesQ4:
		gemmQ4AVX2(m, blocks, rows, rowStep, panel, c, ldc, resume)
	case blockBytesQ4_1:
		gemmQ4_1AVX2(m, blocks, rows, rowStep, panel, c, ldc, resume)
	}
}

func dotLoopInt8(n int) (ops int) {
	switch {
	case !useDot || n <= 0:
		return 0
	case useAMX:
		cfg := configOf(tileSide, tileSide, tileSide, tileSide)
		tileLoopInt8(&cfg, n)
		return n * 4 * 2 * tileSide * tileSide * 4 * tileSide
	}
	int8LoopDot(n)
	return n * 8 * 64 * 2
}
