//go:build !noasm

package asm

// weightedSumAVX2 wants n and d positive.
//
//go:noescape
func weightedSumAVX2(o, p, v *float32, stride, n, d int)

func weightedSum(o, p, v []float32, stride, n, d int) {
	if useAVX2 {
		weightedSumAVX2(&o[0], &p[0], &v[0], stride, n, d)
		return
	}
	weightedSumGeneric(o, p, v, stride, n, d)
}
