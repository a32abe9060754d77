package asm

import (
	"math"
	"testing"
)

// narrow describes F16 or a format of its upper bits, with infinities, and the
// kernels that convert it.
type narrow[T uint8 | uint16] struct {
	name        string
	mantissa    int // number of mantissa bits
	infinity    T
	saturates   bool // finite numbers never become infinities
	to          func(dst []T, x []float32)
	toGeneric   func(dst []T, x []float32)
	from        func(dst []float32, x []T)
	fromGeneric func(dst []float32, x []T)
}

var (
	narrowF16  = narrow[uint16]{"F16", 10, 0x7c00, false, ToF16, toF16Generic, FromF16, fromF16Generic}
	narrowE5M2 = narrow[uint8]{"E5M2", 2, 0x7c, true, ToE5M2, toE5M2Generic, FromE5M2, fromE5M2Generic}
)

// value returns the number that a code represents, computed from its bit
// fields.
func (f narrow[T]) value(code T) float64 {
	exp, frac := int(code>>f.mantissa&31), float64(code&(1<<f.mantissa-1))
	one := math.Ldexp(1, f.mantissa)
	var v float64
	switch {
	case exp == 31 && frac != 0:
		return math.NaN()
	case exp == 31:
		v = math.Inf(1)
	case exp == 0:
		v = frac / one * 0x1p-14
	default:
		v = math.Ldexp(1+frac/one, exp-15)
	}
	if code>>(f.mantissa+5) != 0 {
		v = -v
	}
	return v
}

func (f narrow[T]) decodesEveryCode(t *testing.T) {
	codes := endOfPageOf[T](t, 1<<(f.mantissa+6))
	for i := range codes {
		codes[i] = T(i)
	}
	got := endOfPage(t, len(codes))
	f.from(got, codes)
	for i, x := range got {
		if want := f.value(codes[i]); !sameValue(x, want) {
			t.Fatalf("%s %#x is %g, want %g", f.name, codes[i], x, want)
		}
	}
}

func (f narrow[T]) roundsToTheNearestCode(t *testing.T) {
	// Rounding gives an infinity from the value that would follow the largest
	// one.
	values := make([]float64, f.infinity+1)
	for code := range int(f.infinity) {
		values[code] = f.value(T(code))
	}
	values[f.infinity] = 65536
	xs := append([]float32{1e-9, 1e9, 65519, 65520, -65520, 61439, 61440}, specials...)
	for code := range int(f.infinity) {
		xs = append(xs, around(float32(values[code]))...)
		xs = append(xs, around(float32((values[code]+values[code+1])/2))...)
	}
	in, got := append(endOfPage(t, len(xs))[:0], xs...), endOfPageOf[T](t, len(xs))
	f.to(got, in)
	for i, x := range xs {
		size := math.Abs(float64(x))
		want := T(nearest(values, size))
		if f.saturates && want == f.infinity && !math.IsInf(size, 1) {
			want--
		}
		if math.Signbit(float64(x)) {
			want |= 1 << (f.mantissa + 5)
		}
		if x != x && math.IsNaN(f.value(got[i])) {
			continue
		}
		if got[i] != want {
			t.Fatalf("%s: %g (%#x) becomes %#x, want %#x", f.name, x, math.Float32bits(x), got[i], want)
		}
	}
}

// givesTheSameBits compares the path's kernels with the portable ones,
// including the payloads of NaN.
func (f narrow[T]) givesTheSameBits(t *testing.T) {
	rng := newRand(t)
	x, codes := endOfPage(t, 1<<16), endOfPageOf[T](t, 1<<16)
	for i := range x {
		x[i], codes[i] = math.Float32frombits(rng.Uint32()), T(rng.Uint32())
		if i%8 == 0 {
			x[i] = math.Float32frombits(rng.Uint32() | 0x7f800000) // nearly always a NaN
		}
	}
	got, want := make([]T, len(x)), make([]T, len(x))
	f.to(got, x)
	f.toGeneric(want, x)
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: %#x becomes %#x, want %#x", f.name, math.Float32bits(x[i]), got[i], want[i])
		}
	}
	back, wantBack := make([]float32, len(x)), make([]float32, len(x))
	f.from(back, codes)
	f.fromGeneric(wantBack, codes)
	for i := range back {
		if math.Float32bits(back[i]) != math.Float32bits(wantBack[i]) {
			t.Fatalf("%s: %#x is %#x, want %#x", f.name, codes[i], math.Float32bits(back[i]), math.Float32bits(wantBack[i]))
		}
	}
}

func TestFromF16AndFromE5M2DecodeEveryCode(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		narrowF16.decodesEveryCode(t)
		narrowE5M2.decodesEveryCode(t)
	})
}

func TestToF16AndToE5M2RoundToTheNearestCode(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		narrowF16.roundsToTheNearestCode(t)
		narrowE5M2.roundsToTheNearestCode(t)
	})
}

func TestF16AndE5M2HaveTheSameBitsOnEveryPath(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		narrowF16.givesTheSameBits(t)
		narrowE5M2.givesTheSameBits(t)
	})
}
