package asm

import (
	"strings"
	"testing"
)

func TestPathFollowsEnvironmentAndProcessor(t *testing.T) {
	all := []string{pathAVX512, pathAVX2, pathPortable}
	for _, c := range []struct {
		env       string
		available []string
		want      string
		err       string // part of the error
	}{
		{"", all, "avx512", ""},
		{"", all[2:], "portable", ""},
		{"avx512", all, "avx512", ""},
		{"avx2", all, "avx2", ""},
		{"avx2", all[2:], "portable", `AHA_CPU="avx2": this processor or build has the paths portable`},
		{"avx512dot", all, "avx512", `AHA_CPU="avx512dot": this processor or build has the paths avx512, avx2, portable`},
		{"portable", all, "portable", ""},
		{"AVX2", all, "avx512", `AHA_CPU="AVX2"`},
	} {
		got, err := choosePath(c.env, c.available)
		if got != c.want {
			t.Errorf("AHA_CPU=%q of %v: path %q, want %q", c.env, c.available, got, c.want)
		}
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("AHA_CPU=%q of %v: error %v, want %q", c.env, c.available, err, c.err)
		}
	}
}

func TestKernelsNameTheSliceThatIsTooShort(t *testing.T) {
	x := func(n int) []float32 { return make([]float32, n) }
	for want, call := range map[string]func(){
		"PackB: dst has 31 elements, needs 32":          func() { PackB(x(31), x(2), 2, 1, 1, 1) },
		"PackB: b has 5 elements, needs 6":              func() { PackB(x(32), x(5), 2, 3, 3, 1) },
		"GemmPacked: c has 7 elements, needs 8":         func() { GemmPacked(2, 3, 1, x(2), 1, 1, x(16), x(7), 5, false) },
		"GemmPacked: a has 1 elements, needs 2":         func() { GemmPacked(2, 3, 1, x(1), 1, 1, x(16), x(8), 5, false) },
		"GemmPacked: bp has 15 elements, needs 16":      func() { GemmPacked(2, 3, 1, x(2), 1, 1, x(15), x(8), 5, false) },
		"GemmPacked: c has rows of 3 elements, 2 apart": func() { GemmPacked(2, 3, 1, x(2), 1, 1, x(16), x(8), 2, false) },
		"strides -1 and 1: want 0 or more":              func() { GemmPacked(2, 3, 1, x(2), -1, 1, x(16), x(8), 5, false) },
		"WeightedSum: p has 1 elements, needs 2":        func() { WeightedSum(x(3), x(1), x(7), 4, 2, 3) },
		"WeightedSum: v has 6 elements, needs 7":        func() { WeightedSum(x(3), x(2), x(6), 4, 2, 3) },
		"ExpSub: x has 2 elements, needs 3":             func() { ExpSub(x(3), x(2), 0) },
		"SwiGLUGrad: up has 2 elements, needs 3":        func() { SwiGLUGrad(x(3), x(3), x(3), x(3), x(2)) },
		"RMSNormGradRow: w has 2 elements, needs 3":     func() { RMSNormGradRow(x(3), x(3), x(3), x(2), 1) },
		"AdamW: v has 2 elements, needs 3":              func() { AdamW(x(3), x(3), x(3), x(2), &AdamWStep{Step: 1}) },
		"AdamW: step 0, want 1 or more":                 func() { AdamW(x(3), x(3), x(3), x(3), &AdamWStep{}) },
		"Dot: y has 2 elements, needs 3":                func() { Dot(x(3), x(2)) },
		"RMSNormGradWeight: x has 2 elements, needs 3":  func() { RMSNormGradWeight(x(3), x(3), x(2), 1) },
	} {
		func() {
			defer func() {
				if got := recover(); got != "asm: "+want {
					t.Errorf("panic %v, want %q", got, "asm: "+want)
				}
			}()
			call()
		}()
	}
}
