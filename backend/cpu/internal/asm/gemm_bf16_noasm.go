//go:build !amd64 || noasm

package asm

func packBF16(dst []uint16, b []float32, k, n, rs, cs int) {
	for j, k2 := 0, even(k); j < n; j += PanelWidth {
		packPanelBF16Generic(dst[j*k2:][:PanelWidth*k2], b[j*cs:], k, min(PanelWidth, n-j), rs, cs)
	}
}

func packBF16Bits(dst, b []uint16, k, n, rs, cs int) {
	for j, k2 := 0, even(k); j < n; j += PanelWidth {
		packPanelBF16BitsGeneric(dst[j*k2:][:PanelWidth*k2], b[j*cs:], k, min(PanelWidth, n-j), rs, cs)
	}
}

func rowsBF16(dst []uint16, a []float32, m, k, ars, acs int) {
	rowsBF16Generic(dst, a, m, k, ars, acs)
}

func rowsBF16Bits(dst, a []uint16, m, k, ars, acs int) {
	rowsBF16BitsGeneric(dst, a, m, k, ars, acs)
}

func gemmBF16(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	gemmBF16Generic(m, n, k, a, ars, bp, c, ldc, accumulate)
}

func dotLoopBF16(int) (flops int) { return 0 }
