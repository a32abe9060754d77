package attention

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend/tensor"
)

// refuse panics with a message that names the invalid field of a constructor's config.
func refuse(what, field string, value any, want string, args ...any) {
	panic(fmt.Sprintf("attention: %s: %s is %v, want %s", what, field, value, fmt.Sprintf(want, args...)))
}

// size is the value of a dimension and the name of its field.
type size struct {
	field string
	n     int
}

// mustBePositive panics if a size is below 1, and names the first one.
func mustBePositive(what string, sizes ...size) {
	for _, s := range sizes {
		if s.n < 1 {
			refuse(what, s.field, s.n, "at least 1")
		}
	}
}

// mustBeEven panics if a width is odd: RoPE rotates pairs.
func mustBeEven(what string, s size) {
	if s.n%2 != 0 {
		refuse(what, s.field, s.n, "an even number, since RoPE rotates pairs")
	}
}

// mustBeFactor panics if v is not positive and finite.
func mustBeFactor(what, field string, v float64) {
	if !positive(v) {
		refuse(what, field, v, "positive and finite")
	}
}

// positive reports whether v, as a float32, is above 0 and finite.
func positive(v float64) bool {
	f := float32(v)
	return f > 0 && !math.IsInf(float64(f), 0)
}

// mustHaveAngles panics if the angles are missing or have a dimension other than dim.
func mustHaveAngles(what string, a tensor.Angles, dim size) {
	if a.Cos == nil || a.Sin == nil {
		refuse(what, "angles", "absent", "the result of NewAngles")
	}
	for _, p := range []*tensor.Param{a.Cos, a.Sin} {
		if shape := p.Shape(); len(shape) != 2 || 2*shape[1] != dim.n {
			refuse(what, "angles "+p.Name, shape, "[positions %d] for %s %d", dim.n/2, dim.field, dim.n)
		}
	}
}

func (c GQAConfig) check(what string) {
	mustBePositive(what, size{"Hidden", c.Hidden}, size{"Heads", c.Heads}, size{"KVHeads", c.KVHeads},
		size{"HeadDim", c.HeadDim})
	mustBeEven(what, size{"HeadDim", c.HeadDim})
	if c.Heads%c.KVHeads != 0 {
		refuse(what, "KVHeads", c.KVHeads, "a divisor of Heads %d", c.Heads)
	}
	if c.QKNorm {
		mustBeFactor(what, "Eps", c.Eps)
	}
}

func (c MLAConfig) check(what string) {
	mustBePositive(what, size{"Hidden", c.Hidden}, size{"Heads", c.Heads}, size{"KVRank", c.KVRank},
		size{"Nope", c.Nope}, size{"Rope", c.Rope}, size{"Value", c.Value})
	mustBeEven(what, size{"Rope", c.Rope})
	if c.QRank < 0 {
		refuse(what, "QRank", c.QRank, "at least 0")
	}
	if c.Scale != 0 {
		mustBeFactor(what, "Scale", c.Scale)
	}
}

// check panics if no frequencies can be computed for dim elements with base theta.
func (sc RoPEScaling) check(what string, dim int, theta float64) {
	mustBePositive(what, size{"dim", dim})
	mustBeEven(what, size{"dim", dim})
	if !positive(theta) || theta <= 1 {
		refuse(what, "theta", theta, "above 1 and finite")
	}
	if sc.Kind > Llama3 {
		refuse(what, "RoPEScaling.Kind", sc.Kind, "NoRoPEScaling, YaRN or Llama3")
	}
	if sc.Kind == NoRoPEScaling {
		return
	}
	if !positive(sc.Factor) || sc.Factor < 1 {
		refuse(what, "RoPEScaling.Factor", sc.Factor, "at least 1 and finite")
	}
	mustBePositive(what, size{"RoPEScaling.Original", sc.Original})
	for _, f := range []struct {
		field string
		v     float64
	}{
		{"RoPEScaling.BetaFast", sc.BetaFast}, {"RoPEScaling.BetaSlow", sc.BetaSlow},
		{"RoPEScaling.AttentionFactor", sc.AttentionFactor},
		{"RoPEScaling.MScale", sc.MScale}, {"RoPEScaling.MScaleAllDim", sc.MScaleAllDim},
		{"RoPEScaling.LowFreqFactor", sc.LowFreqFactor}, {"RoPEScaling.HighFreqFactor", sc.HighFreqFactor},
	} {
		if f.v != 0 {
			mustBeFactor(what, f.field, f.v)
		}
	}
	if fast, slow := sc.betas(); fast < slow {
		refuse(what, "RoPEScaling.BetaFast", fast, "at least BetaSlow %v", slow)
	}
	if low, high := sc.freqFactors(); high <= low {
		refuse(what, "RoPEScaling.HighFreqFactor", high, "above LowFreqFactor %v", low)
	}
}
