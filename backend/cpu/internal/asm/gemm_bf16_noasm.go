//go:build !amd64 || noasm

package asm

func packPanelBF16(dst []uint16, b []float32, k, n, rs, cs int) {
	packPanelBF16Generic(dst, b, k, n, rs, cs)
}

func packPanelBF16Bits(dst, b []uint16, k, n, rs, cs int) {
	packPanelBF16BitsGeneric(dst, b, k, n, rs, cs)
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
