//go:build (!amd64 && !arm64) || noasm

package asm

func weightedSum(o, p, v []float32, stride, n, d int) { weightedSumGeneric(o, p, v, stride, n, d) }
