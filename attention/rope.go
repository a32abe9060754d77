package attention

import (
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Scaling stretches RoPE beyond the length it was trained on.
type Scaling struct {
	Kind     ScalingKind
	Factor   float64
	Original int // the old length in tokens

	BetaFast, BetaSlow   float64 // YaRN
	MScale, MScaleAllDim float64 // YaRN

	LowFreqFactor, HighFreqFactor float64 // Llama 3
}

// ScalingKind selects the rule of a Scaling.
type ScalingKind uint8

const (
	NoScaling ScalingKind = iota
	YaRN                  // Peng et al. 2023, as in DeepSeek-V2 and V3
	Llama3                // Llama 3.1
)

// Frequencies are the angles per position of each of the dim/2 rotated pairs.
func Frequencies(dim int, theta float64, sc Scaling) []float64 {
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

// llama3 divides the frequencies of long waves by Factor, leaves short ones,
// and blends between.
func (sc Scaling) llama3(f []float64) {
	old := float64(sc.Original)
	for i, freq := range f {
		wave := 2 * math.Pi / freq
		blend := (old/wave - sc.LowFreqFactor) / (sc.HighFreqFactor - sc.LowFreqFactor)
		blend = min(max(blend, 0), 1)
		f[i] = (1-blend)*freq/sc.Factor + blend*freq
	}
}

// NewAngles tabulates cosines and sines for positions 0 to length−1, computed
// in float64 and rounded once.
func NewAngles(b backend.Backend, dt backend.DType, length, dim int, theta float64, sc Scaling) (tensor.Angles, error) {
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
		p, err := tensor.NewParam(b, t.name, dt, length, len(freq))
		if err != nil {
			return a, err
		}
		p.Trainable = false
		if err := p.SetFloats(t.data); err != nil {
			return a, err
		}
		*t.dst = p
	}
	return a, nil
}
