//go:build (!amd64 && !arm64) || noasm

package asm

func scale(dst, x []float32, s float32) { scaleGeneric(dst, x, s) }

func add(dst, x, y []float32) { addGeneric(dst, x, y) }

func mul(dst, x, y []float32) { mulGeneric(dst, x, y) }

func addScaled(dst, x []float32, s float32) { addScaledGeneric(dst, x, s) }

func sum(x []float32) float32 { return sumGeneric(x) }

func sumSquares(x []float32) float32 { return sumSquaresGeneric(x) }

func dot(x, y []float32) float32 { return dotGeneric(x, y) }

func dot3(x, y, z []float32) float32 { return dot3Generic(x, y, z) }

func maxRow(x []float32) float32 { return maxGeneric(x) }

func exp(dst, x []float32) { expGeneric(dst, x) }

func expSub(dst, x []float32, m float32) float32 { return expSubGeneric(dst, x, m) }

func softmaxGrad(dst, p, dp []float32, delta, scale float32) {
	softmaxGradGeneric(dst, p, dp, delta, scale)
}

func sigmoid(dst, x []float32) { sigmoidGeneric(dst, x) }

func swiGLU(dst, gate, up []float32) { swiGLUGeneric(dst, gate, up) }

func swiGLUGrad(dGate, dUp, dY, gate, up []float32) { swiGLUGradGeneric(dGate, dUp, dY, gate, up) }

func scaleMul(y, x, w []float32, s float32) { scaleMulGeneric(y, x, w, s) }

func rmsNormGrad(dx, dy, x, w []float32, rstd, c float32) { rmsNormGradGeneric(dx, dy, x, w, rstd, c) }

func rmsNormGradWeight(dw, dy, x []float32, rstd float32) { rmsNormGradWeightGeneric(dw, dy, x, rstd) }

func adamW(w, g, m, v []float32, c *adamWCoeffs) { adamWGeneric(w, g, m, v, c) }

func swiGLUBF16(dst, gate, up []uint16) { swiGLUBF16Widened(dst, gate, up) }

func swiGLUGradBF16(dGate, dUp, dY, gate, up []uint16) {
	swiGLUGradBF16Widened(dGate, dUp, dY, gate, up)
}
