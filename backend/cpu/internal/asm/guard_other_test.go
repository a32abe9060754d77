//go:build !unix

package asm

import "testing"

// endOfPage returns n floats. There is no guard page on this system.
func endOfPage(t testing.TB, n int) []float32 {
	t.Helper()
	return make([]float32, n)
}
