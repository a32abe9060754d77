//go:build (!amd64 && !arm64) || noasm

package asm

// packWide returns 0: no kernel here packs several panels at a time.
func packWide(dst, b []float32, k, n, rs, cs int) int { return 0 }

func packPanel(dst, b []float32, k, n, rs, cs int) {
	packPanelGeneric(dst, b, k, n, rs, cs)
}

func gemmBlock(m, n, k int, a []float32, ars, acs int, bp []float32, panelStep int, c []float32, ldc int, resume bool) {
	gemmBlockGeneric(m, n, k, a, ars, acs, bp, panelStep, c, ldc, resume)
}

// gemm is GemmPart for positive m, n and k.
func gemm(m, n, k int, a []float32, ars, acs int, bp []float32, step int, c []float32, ldc int, resume bool) {
	gemmBlocked(m, n, k, a, ars, acs, bp, step, c, ldc, resume)
}
