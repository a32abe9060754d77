//go:build !noasm

package asm

import "unsafe"

// The NEON kernels take pointers to the first elements of their rows, and their
// length.

//go:noescape
func scaleNEON(dst, x *float32, n int, s float32)

func scale(dst, x []float32, s float32) {
	if useNEON {
		scaleNEON(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst), s)
		return
	}
	scaleGeneric(dst, x, s)
}

//go:noescape
func addNEON(dst, x, y *float32, n int)

func add(dst, x, y []float32) {
	if useNEON {
		addNEON(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(y), len(dst))
		return
	}
	addGeneric(dst, x, y)
}

//go:noescape
func mulNEON(dst, x, y *float32, n int)

func mul(dst, x, y []float32) {
	if useNEON {
		mulNEON(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(y), len(dst))
		return
	}
	mulGeneric(dst, x, y)
}

//go:noescape
func addScaledNEON(dst, x *float32, n int, s float32)

func addScaled(dst, x []float32, s float32) {
	if useNEON {
		addScaledNEON(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst), s)
		return
	}
	addScaledGeneric(dst, x, s)
}

//go:noescape
func maxNEON(x *float32, n int) float32

func maxRow(x []float32) float32 {
	if useNEON {
		return maxNEON(unsafe.SliceData(x), len(x))
	}
	return maxGeneric(x)
}

//go:noescape
func expNEON(dst, x *float32, n int)

func exp(dst, x []float32) {
	if useNEON {
		expNEON(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst))
		return
	}
	expGeneric(dst, x)
}

//go:noescape
func expSubNEON(dst, x *float32, n int, m float32) float32

func expSub(dst, x []float32, m float32) float32 {
	if useNEON {
		return expSubNEON(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst), m)
	}
	return expSubGeneric(dst, x, m)
}

//go:noescape
func softmaxGradNEON(dst, p, dp *float32, n int, delta, scale float32)

func softmaxGrad(dst, p, dp []float32, delta, scale float32) {
	if useNEON {
		softmaxGradNEON(unsafe.SliceData(dst), unsafe.SliceData(p), unsafe.SliceData(dp), len(dst), delta, scale)
		return
	}
	softmaxGradGeneric(dst, p, dp, delta, scale)
}

//go:noescape
func sigmoidNEON(dst, x *float32, n int)

func sigmoid(dst, x []float32) {
	if useNEON {
		sigmoidNEON(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst))
		return
	}
	sigmoidGeneric(dst, x)
}

//go:noescape
func swiGLUNEON(dst, gate, up *float32, n int)

func swiGLU(dst, gate, up []float32) {
	if useNEON {
		swiGLUNEON(unsafe.SliceData(dst), unsafe.SliceData(gate), unsafe.SliceData(up), len(dst))
		return
	}
	swiGLUGeneric(dst, gate, up)
}

//go:noescape
func swiGLUGradNEON(dGate, dUp, dY, gate, up *float32, n int)

func swiGLUGrad(dGate, dUp, dY, gate, up []float32) {
	if useNEON {
		swiGLUGradNEON(unsafe.SliceData(dGate), unsafe.SliceData(dUp), unsafe.SliceData(dY), unsafe.SliceData(gate),
			unsafe.SliceData(up), len(dGate))
		return
	}
	swiGLUGradGeneric(dGate, dUp, dY, gate, up)
}

//go:noescape
func scaleMulNEON(y, x, w *float32, n int, s float32)

func scaleMul(y, x, w []float32, s float32) {
	if useNEON {
		scaleMulNEON(unsafe.SliceData(y), unsafe.SliceData(x), unsafe.SliceData(w), len(y), s)
		return
	}
	scaleMulGeneric(y, x, w, s)
}

//go:noescape
func rmsNormGradNEON(dx, dy, x, w *float32, n int, rstd, c float32)

func rmsNormGrad(dx, dy, x, w []float32, rstd, c float32) {
	if useNEON {
		rmsNormGradNEON(unsafe.SliceData(dx), unsafe.SliceData(dy), unsafe.SliceData(x), unsafe.SliceData(w), len(dx),
			rstd, c)
		return
	}
	rmsNormGradGeneric(dx, dy, x, w, rstd, c)
}

//go:noescape
func rmsNormGradWeightNEON(dw, dy, x *float32, n int, rstd float32)

func rmsNormGradWeight(dw, dy, x []float32, rstd float32) {
	if useNEON {
		rmsNormGradWeightNEON(unsafe.SliceData(dw), unsafe.SliceData(dy), unsafe.SliceData(x), len(dw), rstd)
		return
	}
	rmsNormGradWeightGeneric(dw, dy, x, rstd)
}

//go:noescape
func adamWNEON(w, grad, m, v *float32, n int, c *adamWCoeffs)

func adamW(w, g, m, v []float32, c *adamWCoeffs) {
	if useNEON {
		adamWNEON(unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(m), unsafe.SliceData(v), len(w), c)
		return
	}
	adamWGeneric(w, g, m, v, c)
}

func swiGLUBF16(dst, gate, up []uint16) { swiGLUBF16Widened(dst, gate, up) }

func swiGLUGradBF16(dGate, dUp, dY, gate, up []uint16) {
	swiGLUGradBF16Widened(dGate, dUp, dY, gate, up)
}
