//go:build !unix

package asm

import "testing"

// endOfPage returns n floats. This system has no guard page after them.
func endOfPage(t testing.TB, n int) []float32 {
	t.Helper()
	return make([]float32, n)
}
