package attention

import (
	"cmp"
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// RoPEScaling extends RoPE beyond the context length of pretraining. The zero value extends
// nothing.
type RoPEScaling struct {
	Kind     RoPEScalingKind
	Factor   float64 // ratio of the new context length to the original; required by YaRN and Llama3, at least 1
	Original int     // context length of pretraining in tokens; required by YaRN and Llama3

	BetaFast, BetaSlow float64 // ends of YaRN's ramp in rotations over Original; 0 means 32 and 1
	Untruncated        bool    // keep the fractional ends of YaRN's ramp instead of rounding them to whole pairs

	// AttentionFactor multiplies YaRN's cosines and sines. If 0, it is
	// m(MScale)/m(MScaleAllDim) if both are set and else m(1), with m(a) = 1 +
	// a·ln(Factor)/10.
	AttentionFactor      float64
	MScale, MScaleAllDim float64 // YaRN's mscale and mscale_all_dim; 0 means absent, see SoftmaxScale

	LowFreqFactor, HighFreqFactor float64 // bounds of Llama3's blend; 0 means 1 and 4
}

// RoPEScalingKind selects how a RoPEScaling changes the frequencies.
type RoPEScalingKind uint8

const (
	NoRoPEScaling RoPEScalingKind = iota
	YaRN                          // Peng et al. 2023, as in DeepSeek-V2 and V3
	Llama3                        // Llama 3.1
)

// String returns the rope_type of config.json.
func (k RoPEScalingKind) String() string {
	switch k {
	case NoRoPEScaling:
		return "default"
	case YaRN:
		return "yarn"
	case Llama3:
		return "llama3"
	}
	return fmt.Sprintf("RoPEScalingKind(%d)", uint8(k))
}

// Frequencies returns the rotation per position, in radians, of each of the dim/2 pairs. An
// odd dim, a theta of at most 1 and an invalid sc panic.
func Frequencies(dim int, theta float64, sc RoPEScaling) []float64 {
	sc.check("Frequencies", dim, theta)
	f := make([]float64, dim/2)
	for i := range f {
		f[i] = math.Pow(theta, -2*float64(i)/float64(dim))
	}
	switch sc.Kind {
	case YaRN:
		sc.yarn(f, dim, theta)
	case Llama3:
		sc.llama3(f)
	}
	return f
}

// freqFactors returns LowFreqFactor and HighFreqFactor or their defaults.
func (sc RoPEScaling) freqFactors() (low, high float64) {
	return cmp.Or(sc.LowFreqFactor, 1), cmp.Or(sc.HighFreqFactor, 4)
}

// llama3 divides the frequencies of long wavelengths by Factor, keeps those of short ones,
// and interpolates in between.
func (sc RoPEScaling) llama3(f []float64) {
	old := float64(sc.Original)
	low, high := sc.freqFactors()
	for i, freq := range f {
		wave := 2 * math.Pi / freq
		blend := (old/wave - low) / (high - low)
		blend = min(max(blend, 0), 1)
		f[i] = (1-blend)*freq/sc.Factor + blend*freq
	}
}

// NewAngles returns tables of cosines and sines for positions 0 to length−1, computed in
// float64 and rounded once to dt. A length below 1, an odd dim, a theta of at most 1 and an
// invalid sc panic; a failure of the device is an error.
func NewAngles(
	b backend.Backend, dt backend.DType, length, dim int, theta float64, sc RoPEScaling,
) (tensor.Angles, error) {
	mustBePositive("NewAngles", size{"length", length})
	sc.check("NewAngles", dim, theta)
	freq := Frequencies(dim, theta, sc)
	m := sc.amplitude()
	cos, sin := make([]float64, length*len(freq)), make([]float64, length*len(freq))
	for p := range length {
		for i, f := range freq {
			s, c := math.Sincos(float64(p) * f)
			cos[p*len(freq)+i], sin[p*len(freq)+i] = c*m, s*m
		}
	}
	var a tensor.Angles
	for _, t := range []struct {
		dst  **tensor.Param
		name string
		data []float64
	}{{&a.Cos, "rope.cos", cos}, {&a.Sin, "rope.sin", sin}} {
		p, err := tensor.NewParamFor(b, backend.Tables, t.name, dt, length, len(freq))
		if err == nil {
			*t.dst = p
			p.Trainable = false
			err = p.SetFloats(t.data)
		}
		if err != nil {
			for _, p := range []*tensor.Param{a.Cos, a.Sin} {
				if p != nil {
					p.Free()
				}
			}
			return tensor.Angles{}, err
		}
	}
	return a, nil
}
