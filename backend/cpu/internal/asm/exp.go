package asm

import "math"

// Constants for exp(x) = 2ⁿ·exp(r) with n = round(x/ln 2), r = x − n·ln 2 and
// exp(r) ≈ 1 + r + r²·P(r) for |r| ≤ ln(2)/2. ln 2 is split so that n times its
// high part is exact. The split and the coefficients are those of expf in the
// Cephes library (S. L. Moshier).
const (
	log2e = 1.44269504088896341
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4

	exp0 = 1.9875691500e-4
	exp1 = 1.3981999507e-3
	exp2 = 8.3334519073e-3
	exp3 = 4.1665795894e-2
	exp4 = 1.6666665459e-1
	exp5 = 5.0000001201e-1

	// Above expMax the result is +Inf, below expMin it is 0; clamping x to them
	// keeps 2ⁿ a product of two float32 factors.
	expMax = 89
	expMin = -104
)

// exp32 returns eˣ within 2 ulp. Subnormal results are kept, −Inf gives 0, +Inf
// and all x ≥ 88.73 give +Inf, and NaN gives NaN.
func exp32(x float32) float32 {
	if x != x {
		return x
	}
	x = min(max(x, expMin), expMax)
	n := float32(math.RoundToEven(float64(float32(x * log2e))))
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p := float32(float32(exp0*r)) + exp1
	p = float32(p*r) + exp2
	p = float32(p*r) + exp3
	p = float32(p*r) + exp4
	p = float32(p*r) + exp5
	p = float32(p*float32(r*r)) + r
	p += 1
	// Use two factors: 2ⁿ itself may be outside the range of float32.
	half := int32(n) >> 1
	return float32(p * pow2(int32(n)-half) * pow2(half))
}

// pow2 returns 2ⁿ for −126 ≤ n ≤ 127.
func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// sigmoid32 returns 1/(1+e⁻ˣ).
func sigmoid32(x float32) float32 { return 1 / (1 + exp32(-x)) }

// Exp sets dst[i] = exp(x[i]) for the elements of dst, within 2 ulp. Subnormal
// results are kept. exp(−Inf) is 0, results beyond the range of float32 are
// +Inf, and NaN stays NaN.
func Exp(dst, x []float32) {
	need("Exp", "x", len(x), len(dst))
	exp(dst, x)
}

func expGeneric(dst, x []float32) {
	for i := range dst {
		dst[i] = exp32(x[i])
	}
}

// ExpSub sets dst[i] = exp(x[i]−m) for the elements of dst and returns their
// sum: the numerators and the denominator of a softmax with maximum m. The sum
// has eight lanes: element i is added to lane i%8, in ascending i, and the
// lanes are added as ((0+1)+(2+3)) + ((4+5)+(6+7)).
func ExpSub(dst, x []float32, m float32) (sum float32) {
	need("ExpSub", "x", len(x), len(dst))
	return expSub(dst, x, m)
}

func expSubGeneric(dst, x []float32, m float32) float32 {
	var lane [8]float32
	for i := range dst {
		e := exp32(x[i] - m)
		dst[i] = e
		lane[i%8] += e
	}
	return sumLanes(&lane)
}

// SoftmaxGrad sets dst[i] = p[i]·(dp[i]−delta)·scale for the elements of dst:
// the gradient of a softmax with output p and output gradient dp, where delta
// is Σ p·dp and scale is the factor that its input was multiplied by.
func SoftmaxGrad(dst, p, dp []float32, delta, scale float32) {
	need("SoftmaxGrad", "p", len(p), len(dst))
	need("SoftmaxGrad", "dp", len(dp), len(dst))
	softmaxGrad(dst, p, dp, delta, scale)
}

func softmaxGradGeneric(dst, p, dp []float32, delta, scale float32) {
	for i := range dst {
		dst[i] = p[i] * (dp[i] - delta) * scale
	}
}

// Sigmoid sets dst[i] = 1/(1+exp(−x[i])) for the elements of dst.
func Sigmoid(dst, x []float32) {
	need("Sigmoid", "x", len(x), len(dst))
	sigmoid(dst, x)
}

func sigmoidGeneric(dst, x []float32) {
	for i := range dst {
		dst[i] = sigmoid32(x[i])
	}
}
