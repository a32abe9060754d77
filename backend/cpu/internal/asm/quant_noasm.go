//go:build !amd64 || noasm

package asm

func quantRow(dst []byte, x []float32) { quantRowGeneric(dst, x) }

func columnSizes(tile *tileQ, sizes *[PanelWidth]uint32) { columnSizesGeneric(tile, sizes) }

func roundBlockQ8(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	roundBlockQ8Generic(dst, tile, inv)
}

func roundBlockQ4(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	roundBlockQ4Generic(dst, tile, inv)
}

func errorsQ4(tile *tileQ, d, inv, errs *[PanelWidth]float32) { errorsQ4Generic(tile, d, inv, errs) }

func gemmQ8(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	gemmQ8Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
}

func gemmQ4(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	gemmQ4Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
}

func gemmQ4_1(m, n, blocks int, rows, bp []byte, c []float32, ldc int, accumulate bool) {
	gemmQ4_1Generic(m, n, blocks, rows, bp, c, ldc, accumulate)
}

func dotLoopInt8(n int) (ops int) { return 0 }
