//go:build !noasm

package asm

import (
	"math"
	"testing"
)

// TestModelOfTDPBF16PSHasItsBitsOnAMX compares the model with the instruction
// for numbers of one magnitude, of very different ones, subnormals, and numbers
// so large that sums overflow.
func TestModelOfTDPBF16PSHasItsBitsOnAMX(t *testing.T) {
	if !haveTiles() {
		t.Skip("this processor or system has no AMX tiles")
	}
	const m, n, k, rounds = 16, 16, 32, 400
	rng := newRand(t)
	for _, c := range []struct {
		what                string
		lowest, exponents   int // range of the operands' exponents
		sumLowest, sumRange int
	}{
		{"one magnitude", 127, 1, 127, 1},
		{"mixed magnitudes", 117, 20, 117, 20},
		{"far apart", 67, 120, 67, 120},
		{"subnormal products", 54, 16, 0, 30},
		{"subnormal operands", 0, 3, 0, 3},
		{"subnormal beside large", 0, 255, 0, 255},
		{"overflow", 185, 12, 240, 15},
		{"infinities and NaN", 120, 136, 120, 136},
	} {
		pick := func(lowest, exponents int) float32 {
			bits := rng.Uint32()
			exponent := uint32(lowest + rng.IntN(exponents))
			if exponent == 255 && rng.IntN(8) > 0 {
				exponent--
			}
			return math.Float32frombits(bits&0x807fffff | exponent<<23)
		}
		a, b, sum := make([]uint16, m*k), make([]uint16, k*n), make([]float32, m*n)
		for round := range rounds {
			for i := range a {
				a[i] = uint16(math.Float32bits(pick(c.lowest, c.exponents)) >> 16)
			}
			for i := range b {
				b[i] = uint16(math.Float32bits(pick(c.lowest, c.exponents)) >> 16)
			}
			for i := range sum {
				sum[i] = pick(c.sumLowest, c.sumRange)
			}
			got := append([]float32(nil), sum...)
			gemmBF16AMX(m, n, k, a, k, packedBF16(b, k, n), got, n, true)
			for i := range got {
				column := make([]uint16, k)
				for p := range column {
					column[p] = b[p*n+i%n]
				}
				want := tileSumBF16(sum[i], a[i/n*k:][:k], column)
				if math.Float32bits(got[i]) != math.Float32bits(want) && !(got[i] != got[i] && want != want) {
					t.Fatalf("%s, round %d: %g (%#x), the model gives %g (%#x)", c.what, round, got[i],
						math.Float32bits(got[i]), want, math.Float32bits(want))
				}
			}
		}
	}
}

// TestTDPBF16PSFlushesWhatRoundsToASubnormalOnAMX computes a sum just below the
// smallest normal number that rounds to it.
func TestTDPBF16PSFlushesWhatRoundsToASubnormalOnAMX(t *testing.T) {
	if !haveTiles() {
		t.Skip("this processor or system has no AMX tiles")
	}
	a := []uint16{toBF16(0x1p-63), 0, toBF16(0x1p-76), 0}
	b := []uint16{toBF16(0x1p-63), 0, toBF16(-0x1p-76), 0}
	c := []float32{0}
	gemmBF16AMX(1, 1, 4, a, 4, packedBF16(b, 4, 1), c, 1, false)
	if want := tileSumBF16(0, a, b); c[0] != want {
		t.Errorf("2^-126 − 2^-152 gives %g, the model %g", c[0], want)
	}
}
