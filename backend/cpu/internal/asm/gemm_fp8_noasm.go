//go:build !amd64 || noasm

package asm

func quantRowFP8(dst []byte, head int, x []float32) { quantRowFP8Generic(dst, head, x) }

func largestSize(x []float32) uint32 { return largestSizeGeneric(x) }

func encodePairsFP8(dst []byte, tile []float32, scale float32) {
	encodePairsFP8Generic(dst, tile, scale)
}

func nanColumns(codes []byte) uint32 { return nanColumnsGeneric(codes) }

func packPairsFP8(dst, b []byte, k, n, rs, cs int) { packPairsFP8Generic(dst, b, k, n, rs, cs) }

func gemmFP8(m, n int, s shapeFP8, rows, panels []byte, c []float32, ldc int) {
	gemmFP8Generic(m, n, s, rows, panels, c, ldc)
}
