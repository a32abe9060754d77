package asm

import "math"

// RMSNormRow sets y = x·w·rstd over the elements of y and returns
// rstd = 1/sqrt(mean(x²)+eps) (Zhang and Sennrich 2019, eq. 4).
func RMSNormRow(y, x, w []float32, eps float32) (rstd float32) {
	n := len(y)
	need("RMSNormRow", "x", len(x), n)
	need("RMSNormRow", "w", len(w), n)
	if n == 0 {
		return 0
	}
	rstd = float32(1 / math.Sqrt(float64(sumSquares(x[:n]))/float64(n)+float64(eps)))
	scaleMul(y, x, w, rstd)
	return rstd
}

// scaleMulGeneric sets y = (s·x)·w.
func scaleMulGeneric(y, x, w []float32, s float32) {
	for i := range y {
		y[i] = float32(s*x[i]) * w[i]
	}
}

// RMSNormGradRow sets the n elements of dx to the input gradient of
// [RMSNormRow] for the output gradient dy:
//
//	dx = rstd·dy·w − x·rstd³·Σ(dy·w·x)/n
func RMSNormGradRow(dx, dy, x, w []float32, rstd float32) {
	n := len(dx)
	need("RMSNormGradRow", "dy", len(dy), n)
	need("RMSNormGradRow", "x", len(x), n)
	need("RMSNormGradRow", "w", len(w), n)
	if n == 0 {
		return
	}
	r := float64(rstd)
	c := float32(float64(dot3(dy[:n], w, x)) * r * r * r / float64(n))
	rmsNormGrad(dx, dy, x, w, rstd, c)
}

// rmsNormGradGeneric sets dx = (dy·w)·rstd − c·x.
func rmsNormGradGeneric(dx, dy, x, w []float32, rstd, c float32) {
	for i := range dx {
		dx[i] = float32(float32(dy[i]*w[i])*rstd) - float32(c*x[i])
	}
}

// RMSNormGradWeight adds one row's contribution to the gradient of w to the
// elements of dw: dw += dy·x·rstd. The caller determines the order of rows.
func RMSNormGradWeight(dw, dy, x []float32, rstd float32) {
	need("RMSNormGradWeight", "dy", len(dy), len(dw))
	need("RMSNormGradWeight", "x", len(x), len(dw))
	rmsNormGradWeight(dw, dy, x, rstd)
}

func rmsNormGradWeightGeneric(dw, dy, x []float32, rstd float32) {
	for i := range dw {
		dw[i] += float32(dy[i] * float32(rstd*x[i]))
	}
}
