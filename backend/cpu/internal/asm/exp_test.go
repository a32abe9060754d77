package asm

import (
	"fmt"
	"math"
	"testing"
)

// ulp returns the spacing of float32 at x.
func ulp(x float64) float64 {
	_, e := math.Frexp(x)
	return math.Ldexp(1, max(e-24, -149))
}

func TestExpIsWithinTwoUlpOverTheWholeRange(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const step = 4093
		x, y := make([]float32, 0, 1<<20), []float32(nil)
		for b := uint64(0); b < 1<<32; b += step {
			x = append(x, math.Float32frombits(uint32(b)))
		}
		for v := float32(-105); v < 90; v += 0.0009765625 * 0.7 {
			x = append(x, v)
		}
		y = make([]float32, len(x))
		Exp(y, x)
		worst, at := 0.0, float32(0)
		for i, v := range x {
			want := math.Exp(float64(v))
			switch {
			case math.IsNaN(want):
				if y[i] == y[i] {
					t.Fatalf("exp(%g) = %g", v, y[i])
				}
			case want > math.MaxFloat32:
				if !math.IsInf(float64(y[i]), 1) && v > 88.73 {
					t.Fatalf("exp(%g) = %g", v, y[i])
				}
			default:
				if e := math.Abs(float64(y[i])-want) / ulp(want); e > worst {
					worst, at = e, v
				}
			}
		}
		if worst > 2 {
			t.Fatalf("error of %.2f ulp at %g", worst, at)
		}
		t.Logf("largest error %.2f ulp at %g", worst, at)
	})
}

func TestExpOfSpecialValues(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		inf := float32(math.Inf(1))
		x := []float32{-inf, inf, 0, float32(math.Copysign(0, -1)), -1000, 1000, float32(math.NaN()), -88, -103.9}
		want := []float64{0, math.Inf(1), 1, 1, 0, math.Inf(1), math.NaN(), math.Exp(-88), 0x1p-149}
		got := make([]float32, len(x))
		Exp(got, x)
		for i := range x {
			near(t, fmt.Sprintf("exp(%g)", x[i]), got[i], want[i], 2*ulp(want[i]))
		}
	})
}

func TestSigmoidSaturates(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		inf := float32(math.Inf(1))
		got := make([]float32, 4)
		Sigmoid(got, []float32{-inf, inf, -200, 200})
		sameBits(t, "sigmoid", got, []float32{0, 1, 0, 1})
	})
}

func TestExpSubSumsWhatItStores(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, n := range rowSizes {
			x := fill(rng, endOfPage(t, n))
			dst := poisoned(endOfPage(t, n+1))
			m := Max(x)
			if n == 0 {
				m = 0
			}
			sum := ExpSub(dst[1:], x, m)
			if !isPoison(dst[0]) {
				t.Fatalf("n=%d: wrote before dst", n)
			}
			var want float64
			for i, e := range dst[1:] {
				w := math.Exp(float64(x[i]) - float64(m))
				near(t, fmt.Sprintf("n=%d: element %d", n, i), e, w, 10*eps32*w)
				want += float64(e)
			}
			near(t, fmt.Sprintf("n=%d: sum", n), sum, want, float64(n/8+4)*eps32*want)
			// Masked positions after the row add nothing to any lane.
			masked := append(append(make([]float32, 3), x...), -float32(math.Inf(1)), -float32(math.Inf(1)))[3:]
			sameBits(t, "sum with masked positions", []float32{ExpSub(masked, masked, m)}, []float32{sum})
			sameBits(t, "exponentials in place", masked[:n], dst[1:])
		}
	})
}
