//go:build !amd64 || noasm

package asm

func rotate(dst, x, cos, sin []float32, sign float32, interleaved bool) {
	rotateGeneric(dst, x, cos, sin, sign, interleaved)
}
