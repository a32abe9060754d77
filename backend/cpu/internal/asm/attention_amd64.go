//go:build !noasm

package asm

// weightedSumAVX2 and weightedSumAVX512 require positive n and d.
//
//go:noescape
func weightedSumAVX2(o, p, v *float32, stride, n, d int)

//go:noescape
func weightedSumAVX512(o, p, v *float32, stride, n, d int)

func weightedSum(o, p, v []float32, stride, n, d int) {
	switch {
	case useAVX512:
		weightedSumAVX512(&o[0], &p[0], &v[0], stride, n, d)
	case useAVX2:
		weightedSumAVX2(&o[0], &p[0], &v[0], stride, n, d)
	default:
		weightedSumGeneric(o, p, v, stride, n, d)
	}
}
