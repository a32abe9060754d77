//go:build !noasm

package asm

// gemmQ8Dot computes m rows of up to 32 columns of C, those whose bit is set in
// mask, from two packed panels, panelStep bytes apart. Rows of A are rowStep bytes
// apart. m and blocks are positive.
//
//go:noescape
func gemmQ8Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32, ldc int, mask uint32, resume bool)

// gemmQ4Dot is gemmQ8Dot for panels of Q4.
//
//go:noescape
func gemmQ4Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32, ldc int, mask uint32, resume bool)

// int8LoopDot runs n rounds of eight independent dot products.
func int8LoopDot(n int)

// rowsQuantBytes bounds a block of rows of A: it stays in the second-level cache
// while the panels pass.
const rowsQuantBytes = 384 << 10

func gemmQ8(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	if !useDot {
		gemmQ8Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
		return
	}
	gemmQuantDot(m, n, blocks, rows, bp, c, ldc, accumulate, blockBytesQ8)
}

func gemmQ4(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	if !useDot {
		gemmQ4Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
		return
	}
	gemmQuantDot(m, n, blocks, rows, bp, c, ldc, accumulate, blockBytesQ4)
}

// gemmQuantDot runs a block of rows over all panels, two at a time, then the next.
func gemmQuantDot(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool, blockBytes int) {
	rowStep, panelStep := blocks*rowBlockBytes, blocks*blockBytes
	most := max(rowsQuantBytes/rowStep/6, 4) * 6
	for i := 0; i < m; i += most {
		for j := 0; j < n; j += 2 * PanelWidth {
			mask, second := ^uint32(0), panelStep
			if left := n - j; left < 2*PanelWidth {
				mask = 1<<left - 1
				if left <= PanelWidth {
					second = 0
				}
			}
			row, panel, out := &rows[i*rowStep], &bp[j/PanelWidth*panelStep], &c[i*ldc+j]
			if blockBytes == blockBytesQ8 {
				gemmQ8Dot(min(most, m-i), blocks, row, rowStep, panel, second, out, ldc, mask, accumulate)
			} else {
				gemmQ4Dot(min(most, m-i), blocks, row, rowStep, panel, second, out, ldc, mask, accumulate)
			}
		}
	}
}

func dotLoopInt8(n int) (ops int) {
	if !useDot {
		return 0
	}
	int8LoopDot(n)
	return n * 8 * 64 * 2
}
