//go:build !noasm

package asm

// The kernels below want n and d positive.

//go:noescape
func dotsAVX2(out, q, k *float32, stride, n, d int)

//go:noescape
func weightedSumAVX2(o, p, v *float32, stride, n, d int)

//go:noescape
func rankOneAVX2(dst *float32, stride int, p, x *float32, n, d int)

func dots(out, q, k []float32, stride, n, d int) {
	if useAVX2 {
		dotsAVX2(&out[0], &q[0], &k[0], stride, n, d)
		return
	}
	dotsGeneric(out, q, k, stride, n, d)
}

func weightedSum(o, p, v []float32, stride, n, d int) {
	if useAVX2 {
		weightedSumAVX2(&o[0], &p[0], &v[0], stride, n, d)
		return
	}
	weightedSumGeneric(o, p, v, stride, n, d)
}

func rankOne(dst []float32, stride int, p, x []float32, n, d int) {
	if useAVX2 {
		rankOneAVX2(&dst[0], stride, &p[0], &x[0], n, d)
		return
	}
	rankOneGeneric(dst, stride, p, x, n, d)
}
