package attention_test

import (
	"math"
	"testing"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend"
	_ "github.com/aha-go/aha/backend/cpu"
)

// v3YaRN is the rope_scaling of DeepSeek-V3's config.json.
var v3YaRN = attention.RoPEScaling{
	Kind: attention.YaRN, Factor: 40, Original: 4096, BetaFast: 32, BetaSlow: 1, MScale: 1, MScaleAllDim: 1,
}

// within fails unless got equals want to the given number of significant digits.
func within(t *testing.T, what string, got, want float64, digits int) {
	t.Helper()
	if !(math.Abs(got-want) <= 0.5*math.Pow(10, math.Floor(math.Log10(math.Abs(want)))+1-float64(digits))) {
		t.Errorf("%s: %.12g, want %.12g to %d digits", what, got, want, digits)
	}
}

func TestPlainFrequenciesAreThePowersOfTheta(t *testing.T) {
	f := attention.Frequencies(64, 10000, attention.RoPEScaling{})
	if len(f) != 32 {
		t.Fatalf("%d frequencies for 64 dimensions", len(f))
	}
	for i, want := range map[int]float64{0: 1, 8: 0.1, 16: 0.01, 24: 0.001} {
		within(t, "plain frequency", f[i], want, 14)
	}
}

// The expected frequencies of V3's decoupled RoPE come from precompute_freqs_cis: pairs up
// to 10 keep their frequency, those from 23 on are divided by forty.
func TestYaRNFrequenciesOfV3(t *testing.T) {
	f := attention.Frequencies(64, 10000, v3YaRN)
	for i, want := range map[int]float64{
		10: 0.0562341325, 11: 0.0390069266, 15: 0.00833450895, 16: 0.0055, 20: 7.90569415e-4,
		22: 1.77827941e-4, 23: 3.33380358e-5, 31: 3.33380358e-6,
	} {
		within(t, "YaRN frequency", f[i], want, 9)
	}
	plain := attention.Frequencies(64, 10000, attention.RoPEScaling{})
	for i := range f {
		switch {
		case i <= 10 && f[i] != plain[i]:
			t.Errorf("pair %d: %v, want the plain %v", i, f[i], plain[i])
		case i >= 23:
			within(t, "interpolated frequency", f[i], plain[i]/40, 15)
		case i > 10 && !(f[i] < plain[i] && f[i] > plain[i]/40):
			t.Errorf("pair %d: %v is not between %v and %v", i, f[i], plain[i]/40, plain[i])
		}
	}
}

// If both ends of the ramp fall on one pair, the ramp is a step. This happens for very
// small dimensions or short training contexts.
func TestYaRNRampOfNoWidthIsAStep(t *testing.T) {
	sc := v3YaRN
	sc.BetaFast, sc.BetaSlow = 4096/(2*math.Pi), 4096/(2*math.Pi) // both betas give pair 0
	plain := attention.Frequencies(8, 10000, attention.RoPEScaling{})
	for i, f := range attention.Frequencies(8, 10000, sc) {
		want := plain[i]
		if i > 0 {
			want /= 40
		}
		within(t, "step frequency", f, want, 15)
	}
}

// The expected values come from transformers 5.24's _compute_yarn_parameters in float64,
// with truncate true and false.
func TestYaRNRampBetweenWholePairsOrNot(t *testing.T) {
	sc := attention.RoPEScaling{Kind: attention.YaRN, Factor: 40, Original: 4096}
	for untruncated, want := range map[bool][3]float64{
		false: {0.023914724805023366, 0.005125, 0.0008498621211702518},
		true:  {0.02771085847508042, 0.005524062977468265, 0.0007226383418941806},
	} {
		sc.Untruncated = untruncated
		got := attention.Frequencies(16, 10000, sc)
		for i, w := range want {
			within(t, "frequency", got[3+i], w, 12)
		}
	}
}

func TestSoftmaxScale(t *testing.T) {
	within(t, "without scaling", attention.RoPEScaling{}.SoftmaxScale(192), 0.0721687836, 9)
	within(t, "V3", v3YaRN.SoftmaxScale(192), 0.1352337789, 10)
	lite := v3YaRN
	lite.MScale, lite.MScaleAllDim = 0.707, 0.707
	within(t, "V2-Lite", lite.SoftmaxScale(192)*math.Sqrt(192), 1.2608037774*1.2608037774, 10)
	none := v3YaRN
	none.MScaleAllDim = 0
	within(t, "mscale_all_dim absent", none.SoftmaxScale(192), 0.0721687836, 9)
	llama := attention.RoPEScaling{Kind: attention.Llama3, Factor: 8, Original: 8192, LowFreqFactor: 1, HighFreqFactor: 4}
	within(t, "Llama 3", llama.SoftmaxScale(64), 0.125, 15)
}

// The expected values apply Llama 3.1's rule to each wavelength, with its constants written
// out.
func TestLlama3Frequencies(t *testing.T) {
	sc := attention.RoPEScaling{Kind: attention.Llama3, Factor: 8, Original: 8192, LowFreqFactor: 1, HighFreqFactor: 4}
	var kept, slowed, blended int
	for i, got := range attention.Frequencies(128, 500000, sc) {
		theta := math.Exp(-float64(2*i) / 128 * math.Log(500000))
		want := theta
		switch wave := 2 * math.Pi / theta; {
		case wave < 2048:
			kept++
		case wave > 8192:
			slowed++
			want = theta / 8
		default:
			blended++
			g := (8192/wave - 1) / 3
			want = (1-g)*theta/8 + g*theta
		}
		within(t, "Llama 3 frequency", got, want, 12)
	}
	if kept == 0 || slowed == 0 || blended == 0 {
		t.Errorf("%d kept, %d blended, %d slowed: want all three", kept, blended, slowed)
	}
}

// LowFreqFactor, HighFreqFactor, BetaFast and BetaSlow have defaults; Factor and Original
// have none.
func TestZeroScalingFieldsHaveTheirDefaults(t *testing.T) {
	for _, c := range [][2]attention.RoPEScaling{
		{{Kind: attention.YaRN, Factor: 40, Original: 4096}, v3YaRN},
		{{Kind: attention.Llama3, Factor: 8, Original: 8192}, {Kind: attention.Llama3, Factor: 8, Original: 8192,
			LowFreqFactor: 1, HighFreqFactor: 4}},
	} {
		got, want := attention.Frequencies(64, 10000, c[0]), attention.Frequencies(64, 10000, c[1])
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%+v: frequency %d is %v, want %v", c[0], i, got[i], want[i])
			}
		}
	}
}

func yarn(mscale, allDim, attentionFactor float64) attention.RoPEScaling {
	return attention.RoPEScaling{Kind: attention.YaRN, Factor: 40, Original: 4096, MScale: mscale, MScaleAllDim: allDim,
		AttentionFactor: attentionFactor}
}

func TestAnglesAreCosinesAndSinesOfPositionTimesFrequency(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		name      string
		sc        attention.RoPEScaling
		amplitude float64
	}{
		{"plain", attention.RoPEScaling{}, 1},
		{"V3", v3YaRN, 1},
		// Amplitudes of transformers 5.24's _compute_yarn_parameters: 0.1·ln 40 + 1 unless
		// both mscale values are set.
		{"no temperature", yarn(0, 0, 0), 1.3688879454113936},
		{"mscale alone", yarn(.707, 0, 0), 1.3688879454113936},
		{"mscale_all_dim alone", yarn(0, 1, 0), 1.3688879454113936},
		{"both", yarn(.707, 1, 0), 0.9210423553163399},
		{"attention_factor", yarn(.707, 1, .75), .75},
	} {
		t.Run(c.name, func(t *testing.T) {
			const length, dim = 300, 16
			a, err := attention.NewAngles(b, backend.F64, length, dim, 10000, c.sc)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Cos.Free()
			defer a.Sin.Free()
			cos, sin := floats(t, a.Cos), floats(t, a.Sin)
			freq := attention.Frequencies(dim, 10000, c.sc)
			for p := range length {
				for i, f := range freq {
					wantCos, wantSin := c.amplitude*math.Cos(float64(p)*f), c.amplitude*math.Sin(float64(p)*f)
					if at := p*dim/2 + i; math.Abs(cos[at]-wantCos) > 1e-14 || math.Abs(sin[at]-wantSin) > 1e-14 {
						t.Fatalf("position %d pair %d: %v, %v, want %v, %v", p, i, cos[at], sin[at], wantCos, wantSin)
					}
				}
			}
			if a.Cos.Trainable || a.Sin.Trainable {
				t.Error("the angles are trainable")
			}
		})
	}
}
