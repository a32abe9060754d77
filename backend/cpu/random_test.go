package cpu

import (
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

// Known answers of the Random123 distribution, from its file kat_vectors.
func TestPhiloxKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		key, hi, lo uint64
		want        [4]uint32
	}{
		{0, 0, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420,
			0x24126ea1}},
	} {
		if got := backend.Philox(c.key, c.hi, c.lo); got != c.want {
			t.Errorf("key %#x, counter %#x %#x: %#x, want %#x", c.key, c.hi, c.lo, got, c.want)
		}
	}
}

func TestRandomFollowsItsDefinition(t *testing.T) {
	b := withWorkers(t, 2)
	const n, seed, stream = 2003, 0x123456789abcdef, 42
	for _, distribution := range []backend.Distribution{backend.Uniform, backend.Normal} {
		x, y := filled(b, make([]float32, n), n), filled(b, make([]float64, n), n)
		do(t, b, &backend.Random{Dst: x, Seed: seed, Stream: stream, Distribution: distribution})
		do(t, b, &backend.Random{Dst: y, Seed: seed, Stream: stream, Distribution: distribution})
		single, double := content[float32](x), content[float64](y)
		for i := range n {
			words := backend.Philox(seed, stream, uint64(i/4))
			want := float64(words[i%4]) / (1 << 32)
			if distribution == backend.Normal {
				pair := words[i%4/2*2:]
				r := math.Sqrt(-2 * math.Log((float64(pair[0])+1)/(1<<32)))
				angle := 2 * math.Pi * (float64(pair[1]) / (1 << 32))
				want = r * [2]float64{math.Cos(angle), math.Sin(angle)}[i%2]
			}
			if math.Abs(double[i]-want) > 1e-15*math.Abs(want) || single[i] != float32(double[i]) {
				t.Fatalf("distribution %d, element %d is %v and %v, want %v", distribution, i, single[i], double[i], want)
			}
		}
	}
}

func TestUniformStaysBelowOne(t *testing.T) {
	if got := uniform[float32](math.MaxUint32); got != 1-0x1p-24 {
		t.Errorf("float32 of the largest word is %v", got)
	}
	if got := uniform[float64](math.MaxUint32); got != 1-0x1p-32 {
		t.Errorf("float64 of the largest word is %v", got)
	}
}
