//go:build !noasm

package asm

import "unsafe"

// The sums take rows of n elements. Their tail arguments are copies of the
// elements after the last multiple of 32, padded with zeros to 32 elements.

//go:noescape
func sumNEON(x, xTail *float32, n int) float32

//go:noescape
func sumSquaresNEON(x, xTail *float32, n int) float32

//go:noescape
func dotNEON(x, y, xTail, yTail *float32, n int) float32

//go:noescape
func dot3NEON(x, y, z, xTail, yTail, zTail *float32, n int) float32

// tail returns the last, partial block of a row of n elements.
func tail(x []float32, n int) (t [32]float32) {
	copy(t[:], x[n&^31:n])
	return t
}

func sum(x []float32) float32 {
	if useNEON {
		xt := tail(x, len(x))
		return sumNEON(unsafe.SliceData(x), &xt[0], len(x))
	}
	return sumGeneric(x)
}

func sumSquares(x []float32) float32 {
	if useNEON {
		xt := tail(x, len(x))
		return sumSquaresNEON(unsafe.SliceData(x), &xt[0], len(x))
	}
	return sumSquaresGeneric(x)
}

func dot(x, y []float32) float32 {
	if useNEON {
		xt, yt := tail(x, len(x)), tail(y, len(x))
		return dotNEON(unsafe.SliceData(x), unsafe.SliceData(y), &xt[0], &yt[0], len(x))
	}
	return dotGeneric(x, y)
}

func dot3(x, y, z []float32) float32 {
	if useNEON {
		xt, yt, zt := tail(x, len(x)), tail(y, len(x)), tail(z, len(x))
		return dot3NEON(unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(z), &xt[0], &yt[0], &zt[0], len(x))
	}
	return dot3Generic(x, y, z)
}
