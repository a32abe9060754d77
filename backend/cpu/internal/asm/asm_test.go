package asm

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
)

const eps32 = 1.0 / (1 << 24) // unit roundoff of float32

// eachPath runs f as a subtest on every path that this machine can run.
func eachPath(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	chosen := path
	defer usePath(chosen)
	for _, p := range available() {
		usePath(p)
		t.Run(p, f)
	}
}

// newRand returns a generator seeded by the test's name. A failing test prints
// the seed.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	hash := fnv.New64a()
	hash.Write([]byte(t.Name()))
	seed := hash.Sum64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// fill sets x to normal random numbers and returns it.
func fill(rng *rand.Rand, x []float32) []float32 {
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func random(rng *rand.Rand, n int) []float32 { return fill(rng, make([]float32, n)) }

// poison marks elements that a kernel must not read or write. It is a NaN, so
// that a kernel that computes with it gives a wrong result.
var poison = math.Float32frombits(0x7fc0dead)

func poisoned(x []float32) []float32 {
	for i := range x {
		x[i] = poison
	}
	return x
}

func isPoison(x float32) bool { return math.Float32bits(x) == math.Float32bits(poison) }

// sameBits fails unless got and want agree bit for bit.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %g (%#x), want %g (%#x)", what, i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// near fails if got differs from want by more than bound. NaN equals NaN.
func near(t *testing.T, what string, got float32, want, bound float64) {
	t.Helper()
	g := float64(got)
	if math.IsNaN(want) && math.IsNaN(g) || g == want {
		return
	}
	if !(math.Abs(g-want) <= bound) {
		t.Fatalf("%s: got %g, want %g ± %g", what, got, want, bound)
	}
}
