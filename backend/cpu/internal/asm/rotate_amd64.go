//go:build !noasm

package asm

// rotateHalvesAVX512 and rotatePairsAVX512 rotate a positive number of rows by
// half > 0 angles: pairs of elements that are half apart, and adjacent pairs.
//
//go:noescape
func rotateHalvesAVX512(dst, x *float32, rows int, cos, sin *float32, half int, sign float32)

//go:noescape
func rotatePairsAVX512(dst, x *float32, rows int, cos, sin *float32, half int, sign float32)

func rotate(dst, x, cos, sin []float32, sign float32, interleaved bool) {
	half := len(cos)
	switch rows := len(dst) / (2 * half); {
	case !useAVX512 || rows == 0:
		rotateGeneric(dst, x, cos, sin, sign, interleaved)
	case interleaved:
		rotatePairsAVX512(&dst[0], &x[0], rows, &cos[0], &sin[0], half, sign)
	default:
		rotateHalvesAVX512(&dst[0], &x[0], rows, &cos[0], &sin[0], half, sign)
	}
}
