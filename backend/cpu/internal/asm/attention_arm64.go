//go:build !noasm

package asm

// weightedSumNEON requires positive n and d.
//
//go:noescape
func weightedSumNEON(o, p, v *float32, stride, n, d int)

func weightedSum(o, p, v []float32, stride, n, d int) {
	if useNEON {
		weightedSumNEON(&o[0], &p[0], &v[0], stride, n, d)
		return
	}
	weightedSumGeneric(o, p, v, stride, n, d)
}
