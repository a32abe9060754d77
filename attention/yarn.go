package attention

import (
	"cmp"
	"math"
)

// betas returns BetaFast and BetaSlow or their defaults.
func (sc RoPEScaling) betas() (fast, slow float64) {
	return cmp.Or(sc.BetaFast, 32), cmp.Or(sc.BetaSlow, 1)
}

// yarn divides by Factor the frequencies of pairs that make fewer than BetaSlow rotations
// over the original context length, keeps those of pairs that make more than BetaFast, and
// interpolates linearly in between (Peng et al. 2023; constants as in DeepSeek-V3's
// precompute_freqs_cis).
func (sc RoPEScaling) yarn(f []float64, dim int, theta float64) {
	turn := func(n float64) float64 {
		return float64(dim) * math.Log(float64(sc.Original)/(n*2*math.Pi)) / (2 * math.Log(theta))
	}
	fast, slow := sc.betas()
	low, high := turn(fast), turn(slow)
	if !sc.Untruncated {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(dim-1))
	if low == high {
		high += 0.001
	}
	for i := range f {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		f[i] = f[i]*(1-ramp) + f[i]/sc.Factor*ramp
	}
}

// mscale is YaRN's attention temperature 0.1·a·ln s + 1.
func mscale(s, a float64) float64 {
	if s <= 1 {
		return 1
	}
	return 0.1*a*math.Log(s) + 1
}

// amplitude is the factor of the cosines and sines: 1 for DeepSeek-V2 and V3. As in
// transformers, MScale and MScaleAllDim have an effect only if both are set.
func (sc RoPEScaling) amplitude() float64 {
	switch {
	case sc.Kind != YaRN:
		return 1
	case sc.AttentionFactor != 0:
		return sc.AttentionFactor
	case sc.MScale != 0 && sc.MScaleAllDim != 0:
		return mscale(sc.Factor, sc.MScale) / mscale(sc.Factor, sc.MScaleAllDim)
	}
	return mscale(sc.Factor, 1)
}

// SoftmaxScale returns the factor of the attention scores for query and key heads of d
// elements: d^-½, times mscale(Factor, MScaleAllDim)² for YaRN.
func (sc RoPEScaling) SoftmaxScale(d int) float64 {
	scale := 1 / math.Sqrt(float64(d))
	if sc.Kind == YaRN && sc.MScaleAllDim != 0 {
		m := mscale(sc.Factor, sc.MScaleAllDim)
		scale *= m * m
	}
	return scale
}
