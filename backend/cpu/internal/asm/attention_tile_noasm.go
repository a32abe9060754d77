//go:build !amd64 || noasm

package asm

func softmaxGradRows(p, ds []float32, width int, visible []int32, lse, delta []float32, scale float32) {
	softmaxGradRowsGeneric(p, ds, width, visible, lse, delta, scale)
}
