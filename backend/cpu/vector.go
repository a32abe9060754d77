package cpu

import (
	"math"

	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Kernels over rows. The loops here are for float64; for float32, package asm
// has the same loops and their assembly.

// weightedSum computes y += Σ_j p[j]·v[j·stride:][:len(y)] in ascending j.
func weightedSum[T number](y, p, v []T, stride int) {
	if y32, ok := any(y).([]float32); ok {
		asm.WeightedSum(y32, any(p).([]float32), any(v).([]float32), stride, len(p), len(y))
		return
	}
	for j, w := range p {
		for c, x := range v[j*stride:][:len(y)] {
			y[c] += T(w * x)
		}
	}
}

// dot returns Σ x·y.
func dot[T number](x, y []T) T {
	if x32, ok := any(x).([]float32); ok {
		return T(asm.Dot(x32, any(y).([]float32)))
	}
	var sum T
	for i, v := range x {
		sum += T(v * y[i])
	}
	return sum
}

// scale computes dst = s·x.
func scale[T number](dst, x []T, s T) {
	if dst32, ok := any(dst).([]float32); ok {
		asm.Scale(dst32, any(x).([]float32), float32(s))
		return
	}
	for i := range dst {
		dst[i] = s * x[i]
	}
}

// addScaled computes dst += s·x.
func addScaled[T number](dst, x []T, s T) {
	if dst32, ok := any(dst).([]float32); ok {
		asm.AddScaled(dst32, any(x).([]float32), float32(s))
		return
	}
	for i := range dst {
		dst[i] += T(s * x[i])
	}
}

// sigmoid computes y = 1/(1+e⁻ˣ).
func sigmoid[T number](y, x []T) {
	if y32, ok := any(y).([]float32); ok {
		asm.Sigmoid(y32, any(x).([]float32))
		return
	}
	for i := range y {
		y[i] = T(1 / (1 + math.Exp(-float64(x[i]))))
	}
}

// maximum returns the largest element of x, ignoring NaN, or −Inf if there is
// none.
func maximum[T number](x []T) T {
	if x32, ok := any(x).([]float32); ok {
		return T(asm.Max(x32))
	}
	m := T(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

// expSub computes y = exp(x − m) and returns Σ y.
func expSub[T number](y, x []T, m T) T {
	if y32, ok := any(y).([]float32); ok {
		return T(asm.ExpSub(y32, any(x).([]float32), float32(m)))
	}
	var sum T
	for i := range y {
		y[i] = T(math.Exp(float64(x[i] - m)))
		sum += y[i]
	}
	return sum
}

// expShifted computes y = exp(x − m), where m is the maximum of x, and returns
// m and Σ y. If all of x is −Inf, y is 0.
func expShifted[T number](y, x []T) (m, sum T) {
	m = maximum(x)
	if math.IsInf(float64(m), -1) {
		return m, expSub(y, x, 0)
	}
	return m, expSub(y, x, m)
}

// softmaxGrad computes ds = p·(dp − delta)·scale.
func softmaxGrad[T number](ds, p, dp []T, delta, scale T) {
	if ds32, ok := any(ds).([]float32); ok {
		asm.SoftmaxGrad(ds32, any(p).([]float32), any(dp).([]float32), float32(delta), float32(scale))
		return
	}
	for i := range ds {
		ds[i] = p[i] * (dp[i] - delta) * scale
	}
}

// rmsNormRow computes y = x·w·rstd and returns rstd = 1/sqrt(mean(x²) + eps).
func rmsNormRow[T number](y, x, w []T, eps T) (rstd T) {
	if y32, ok := any(y).([]float32); ok {
		return T(asm.RMSNormRow(y32, any(x).([]float32), any(w).([]float32), float32(eps)))
	}
	var sum T
	for _, v := range x {
		sum += T(v * v)
	}
	rstd = T(1 / math.Sqrt(float64(sum/T(len(x))+eps)))
	for i, v := range x {
		y[i] = v * rstd * w[i]
	}
	return rstd
}

// rmsNormGradRow computes dx = rstd·(u − x̂·mean(u·x̂)), u = w·dy, x̂ = x·rstd.
func rmsNormGradRow[T number](dx, dy, x, w []T, rstd T) {
	if dx32, ok := any(dx).([]float32); ok {
		asm.RMSNormGradRow(dx32, any(dy).([]float32), any(x).([]float32), any(w).([]float32), float32(rstd))
		return
	}
	var sum T
	for i, v := range x {
		sum += T(w[i] * dy[i] * v * rstd)
	}
	mean := sum / T(len(x))
	for i, v := range x {
		dx[i] = rstd * (T(w[i]*dy[i]) - T(v*rstd*mean))
	}
}

// rmsNormGradWeight computes dw += dy·x·rstd.
func rmsNormGradWeight[T number](dw, dy, x []T, rstd T) {
	if dw32, ok := any(dw).([]float32); ok {
		asm.RMSNormGradWeight(dw32, any(dy).([]float32), any(x).([]float32), float32(rstd))
		return
	}
	for i, v := range x {
		dw[i] += T(dy[i] * v * rstd)
	}
}

// swiGLURow computes y = SiLU(gate)·up.
func swiGLURow[T number](y, gate, up []T) {
	if y32, ok := any(y).([]float32); ok {
		asm.SwiGLU(y32, any(gate).([]float32), any(up).([]float32))
		return
	}
	for i, z := range gate {
		y[i] = T(float64(z)/(1+math.Exp(-float64(z)))) * up[i]
	}
}

// swiGLUGradRow computes dup = dy·SiLU(gate) and the gradient of gate = z,
// dgate = dy·up·σ(z)(1 + z(1 − σ(z))).
func swiGLUGradRow[T number](dgate, dup, dy, gate, up []T) {
	if dgate32, ok := any(dgate).([]float32); ok {
		asm.SwiGLUGrad(dgate32, any(dup).([]float32), any(dy).([]float32), any(gate).([]float32), any(up).([]float32))
		return
	}
	for i, z := range gate {
		s, g, u := T(1/(1+math.Exp(-float64(z)))), dy[i], up[i]
		dup[i] = g * z * s
		dgate[i] = g * u * s * (1 + T(z*(1-s)))
	}
}
