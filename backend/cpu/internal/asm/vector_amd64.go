//go:build !noasm

package asm

import "unsafe"

// The kernels take pointers to the first elements of their rows, and their
// length.

//go:noescape
func scaleAVX2(dst, x *float32, n int, s float32)

func scale(dst, x []float32, s float32) {
	if useAVX2 {
		scaleAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst), s)
		return
	}
	scaleGeneric(dst, x, s)
}

//go:noescape
func addAVX2(dst, x, y *float32, n int)

//go:noescape
func addAVX512(dst, x, y *float32, n int)

func add(dst, x, y []float32) {
	switch {
	case useAVX512:
		addAVX512(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(y), len(dst))
	case useAVX2:
		addAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(y), len(dst))
	default:
		addGeneric(dst, x, y)
	}
}

//go:noescape
func mulAVX2(dst, x, y *float32, n int)

func mul(dst, x, y []float32) {
	if useAVX2 {
		mulAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), unsafe.SliceData(y), len(dst))
		return
	}
	mulGeneric(dst, x, y)
}

//go:noescape
func addScaledAVX2(dst, x *float32, n int, s float32)

func addScaled(dst, x []float32, s float32) {
	if useAVX2 {
		addScaledAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst), s)
		return
	}
	addScaledGeneric(dst, x, s)
}

//go:noescape
func sumAVX2(x *float32, n int) float32

func sum(x []float32) float32 {
	if useAVX2 {
		return sumAVX2(unsafe.SliceData(x), len(x))
	}
	return sumGeneric(x)
}

//go:noescape
func sumSquaresAVX2(x *float32, n int) float32

func sumSquares(x []float32) float32 {
	if useAVX2 {
		return sumSquaresAVX2(unsafe.SliceData(x), len(x))
	}
	return sumSquaresGeneric(x)
}

//go:noescape
func dotAVX2(x, y *float32, n int) float32

func dot(x, y []float32) float32 {
	if useAVX2 {
		return dotAVX2(unsafe.SliceData(x), unsafe.SliceData(y), len(x))
	}
	return dotGeneric(x, y)
}

//go:noescape
func dot3AVX2(x, y, z *float32, n int) float32

func dot3(x, y, z []float32) float32 {
	if useAVX2 {
		return dot3AVX2(unsafe.SliceData(x), unsafe.SliceData(y), unsafe.SliceData(z), len(x))
	}
	return dot3Generic(x, y, z)
}

//go:noescape
func maxAVX2(x *float32, n int) float32

func maxRow(x []float32) float32 {
	if useAVX2 {
		return maxAVX2(unsafe.SliceData(x), len(x))
	}
	return maxGeneric(x)
}

//go:noescape
func expAVX2(dst, x *float32, n int)

func exp(dst, x []float32) {
	if useAVX2 {
		expAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst))
		return
	}
	expGeneric(dst, x)
}

//go:noescape
func expSubAVX2(dst, x *float32, n int, m float32) float32

func expSub(dst, x []float32, m float32) float32 {
	if useAVX2 {
		return expSubAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst), m)
	}
	return expSubGeneric(dst, x, m)
}

//go:noescape
func softmaxGradAVX2(dst, p, dp *float32, n int, delta, scale float32)

func softmaxGrad(dst, p, dp []float32, delta, scale float32) {
	if useAVX2 {
		softmaxGradAVX2(unsafe.SliceData(dst), unsafe.SliceData(p), unsafe.SliceData(dp), len(dst), delta, scale)
		return
	}
	softmaxGradGeneric(dst, p, dp, delta, scale)
}

//go:noescape
func sigmoidAVX2(dst, x *float32, n int)

func sigmoid(dst, x []float32) {
	if useAVX2 {
		sigmoidAVX2(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst))
		return
	}
	sigmoidGeneric(dst, x)
}

//go:noescape
func swiGLUAVX2(dst, gate, up *float32, n int)

//go:noescape
func swiGLUAVX512(dst, gate, up *float32, n int)

func swiGLU(dst, gate, up []float32) {
	switch {
	case useAVX512:
		swiGLUAVX512(unsafe.SliceData(dst), unsafe.SliceData(gate), unsafe.SliceData(up), len(dst))
	case useAVX2:
		swiGLUAVX2(unsafe.SliceData(dst), unsafe.SliceData(gate), unsafe.SliceData(up), len(dst))
	default:
		swiGLUGeneric(dst, gate, up)
	}
}

//go:noescape
func swiGLUBF16AVX512(dst, gate, up *uint16, n int)

func swiGLUBF16(dst, gate, up []uint16) {
	if useAVX512 {
		swiGLUBF16AVX512(unsafe.SliceData(dst), unsafe.SliceData(gate), unsafe.SliceData(up), len(dst))
		return
	}
	swiGLUBF16Widened(dst, gate, up)
}

//go:noescape
func swiGLUGradAVX2(dGate, dUp, dY, gate, up *float32, n int)

//go:noescape
func swiGLUGradAVX512(dGate, dUp, dY, gate, up *float32, n int)

func swiGLUGrad(dGate, dUp, dY, gate, up []float32) {
	switch {
	case useAVX512:
		swiGLUGradAVX512(unsafe.SliceData(dGate), unsafe.SliceData(dUp), unsafe.SliceData(dY), unsafe.SliceData(gate),
			unsafe.SliceData(up), len(dGate))
	case useAVX2:
		swiGLUGradAVX2(unsafe.SliceData(dGate), unsafe.SliceData(dUp), unsafe.SliceData(dY), unsafe.SliceData(gate),
			unsafe.SliceData(up), len(dGate))
	default:
		swiGLUGradGeneric(dGate, dUp, dY, gate, up)
	}
}

//go:noescape
func swiGLUGradBF16AVX512(dGate, dUp, dY, gate, up *uint16, n int)

func swiGLUGradBF16(dGate, dUp, dY, gate, up []uint16) {
	if useAVX512 {
		swiGLUGradBF16AVX512(unsafe.SliceData(dGate), unsafe.SliceData(dUp), unsafe.SliceData(dY), unsafe.SliceData(gate),
			unsafe.SliceData(up), len(dGate))
		return
	}
	swiGLUGradBF16Widened(dGate, dUp, dY, gate, up)
}

//go:noescape
func scaleMulAVX2(y, x, w *float32, n int, s float32)

//go:noescape
func scaleMulAVX512(y, x, w *float32, n int, s float32)

func scaleMul(y, x, w []float32, s float32) {
	switch {
	case useAVX512:
		scaleMulAVX512(unsafe.SliceData(y), unsafe.SliceData(x), unsafe.SliceData(w), len(y), s)
	case useAVX2:
		scaleMulAVX2(unsafe.SliceData(y), unsafe.SliceData(x), unsafe.SliceData(w), len(y), s)
	default:
		scaleMulGeneric(y, x, w, s)
	}
}

//go:noescape
func rmsNormGradAVX2(dx, dy, x, w *float32, n int, rstd, c float32)

//go:noescape
func rmsNormGradAVX512(dx, dy, x, w *float32, n int, rstd, c float32)

func rmsNormGrad(dx, dy, x, w []float32, rstd, c float32) {
	switch {
	case useAVX512:
		rmsNormGradAVX512(unsafe.SliceData(dx), unsafe.SliceData(dy), unsafe.SliceData(x), unsafe.SliceData(w), len(dx),
			rstd, c)
	case useAVX2:
		rmsNormGradAVX2(unsafe.SliceData(dx), unsafe.SliceData(dy), unsafe.SliceData(x), unsafe.SliceData(w), len(dx),
			rstd, c)
	default:
		rmsNormGradGeneric(dx, dy, x, w, rstd, c)
	}
}

//go:noescape
func rmsNormGradWeightAVX2(dw, dy, x *float32, n int, rstd float32)

//go:noescape
func rmsNormGradWeightAVX512(dw, dy, x *float32, n int, rstd float32)

func rmsNormGradWeight(dw, dy, x []float32, rstd float32) {
	switch {
	case useAVX512:
		rmsNormGradWeightAVX512(unsafe.SliceData(dw), unsafe.SliceData(dy), unsafe.SliceData(x), len(dw), rstd)
	case useAVX2:
		rmsNormGradWeightAVX2(unsafe.SliceData(dw), unsafe.SliceData(dy), unsafe.SliceData(x), len(dw), rstd)
	default:
		rmsNormGradWeightGeneric(dw, dy, x, rstd)
	}
}

//go:noescape
func adamWAVX2(w, grad, m, v *float32, n int, c *adamWCoeffs)

func adamW(w, g, m, v []float32, c *adamWCoeffs) {
	if useAVX2 {
		adamWAVX2(unsafe.SliceData(w), unsafe.SliceData(g), unsafe.SliceData(m), unsafe.SliceData(v), len(w), c)
		return
	}
	adamWGeneric(w, g, m, v, c)
}
