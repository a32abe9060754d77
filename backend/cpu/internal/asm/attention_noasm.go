//go:build !amd64 || noasm

package asm

func dots(out, q, k []float32, stride, n, d int) { dotsGeneric(out, q, k, stride, n, d) }

func weightedSum(o, p, v []float32, stride, n, d int) { weightedSumGeneric(o, p, v, stride, n, d) }

func rankOne(dst []float32, stride int, p, x []float32, n, d int) {
	rankOneGeneric(dst, stride, p, x, n, d)
}
