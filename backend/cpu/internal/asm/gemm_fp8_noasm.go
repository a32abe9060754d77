//go:build !amd64 || noasm

package asm

func quantRowFP8(dst []byte, head int, x []float32) { quantRowFP8Generic(dst, head, x) }

func largestSize(x []float32) uint32 { return largestSizeGeneric(x) }

func encodeQuadsFP8(dst []byte, tile []float32, scale float32) {
	encodeQuadsFP8Generic(dst, tile, scale)
}

func marksFP8(codes []byte) (nan, small uint32) { return marksFP8Generic(codes) }

func packQuadsFP8(dst, b []byte, k, n, rs, cs int) { packQuadsFP8Generic(dst, b, k, n, rs, cs) }

func gemmFP8(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	gemmFP8Generic(m, n, s, rows, panels, c, ldc)
}
