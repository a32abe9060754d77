package asm

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
)

// around returns x, its neighbours up to three float32 away, and their negatives.
func around(x float32) []float32 {
	var xs []float32
	for d := -3; d <= 3; d++ {
		if u := int64(math.Float32bits(x)) + int64(d); u >= 0 {
			y := math.Float32frombits(uint32(u))
			xs = append(xs, y, -y)
		}
	}
	return xs
}

// specials are floats at the ends of the range.
var specials = []float32{
	float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32,
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-126, 0, float32(math.Copysign(0, -1)),
	math.Float32frombits(0x7f800001), math.Float32frombits(0xff800001), // NaN with bits only where bf16 has none
	math.Float32frombits(0x7fffffff), math.Float32frombits(0xffffffff),
}

// nearest returns the index of the element of values, which ascend, that is
// nearest to x; of two equally near ones, the even index.
func nearest(values []float64, x float64) int {
	hi := sort.SearchFloat64s(values, x)
	if hi == 0 {
		return 0
	}
	if hi == len(values) {
		return hi - 1
	}
	lo := hi - 1
	below, above := x-values[lo], values[hi]-x
	if below < above || below == above && lo%2 == 0 {
		return lo
	}
	return hi
}

// bf16Value returns the number that a bf16 code represents, computed from its
// bit fields: 1 sign, 8 exponent and 7 mantissa bits.
func bf16Value(code uint16) float64 {
	exp, frac := int(code>>7&0xff), float64(code&0x7f)
	var v float64
	switch {
	case exp == 255 && frac != 0:
		return math.NaN()
	case exp == 255:
		v = math.Inf(1)
	case exp == 0:
		v = math.Ldexp(frac, -126-7)
	default:
		v = math.Ldexp(128+frac, exp-127-7)
	}
	if code&0x8000 != 0 {
		v = -v
	}
	return v
}

// e4m3Value returns the number that an E4M3 code represents, computed from its
// bit fields.
func e4m3Value(code uint8) float64 {
	exp, frac := int(code>>3&15), float64(code&7)
	var v float64
	switch {
	case exp == 15 && frac == 7:
		return math.NaN()
	case exp == 0:
		v = math.Ldexp(frac, -6-3)
	default:
		v = math.Ldexp(8+frac, exp-7-3)
	}
	if code&0x80 != 0 {
		v = -v
	}
	return v
}

// sameValue reports whether got and want have the same bits or are both NaN.
func sameValue(got float32, want float64) bool {
	if math.IsNaN(want) {
		return got != got
	}
	return float64(got) == want && math.Signbit(float64(got)) == math.Signbit(want)
}

func TestFromBF16DecodesEveryCode(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		codes := endOfPageOf[uint16](t, 1<<16)
		for i := range codes {
			codes[i] = uint16(i)
		}
		got := endOfPage(t, len(codes))
		FromBF16(got, codes)
		for i, x := range got {
			if want := bf16Value(uint16(i)); !sameValue(x, want) {
				t.Fatalf("code %#x is %g, want %g", i, x, want)
			}
		}
	})
}

func TestFromBF16RowsDecodesEachRowAndNothingBetween(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, d := range []int{1, 7, 8, 9, 16, 24, 31, 40, 128} {
			for _, rows := range []int{1, 3, 16} {
				stride, dstStride := d+5, d+3
				codes := endOfPageOf[uint16](t, (rows-1)*stride+d)
				for i := range codes {
					codes[i] = uint16(i * 977)
				}
				got := endOfPage(t, (rows-1)*dstStride+d)
				for i := range got {
					got[i] = -3
				}
				FromBF16Rows(got, dstStride, codes, stride, rows, d)
				for i, x := range got {
					want := -3.0
					if c := i % dstStride; c < d {
						want = bf16Value(codes[i/dstStride*stride+c])
					}
					if !sameValue(x, want) {
						t.Fatalf("%d rows of %d: element %d is %g, want %g", rows, d, i, x, want)
					}
				}
			}
		}
	})
}

func TestToBF16RowsRoundsEachRowAndNothingBetween(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, d := range []int{1, 15, 16, 31, 32, 33, 128, 150} {
			for _, rows := range []int{1, 3, 16} {
				stride, dstStride := d+5, d+3
				x := fill(rng, endOfPage(t, (rows-1)*stride+d))
				got := wrong(endOfPageOf[uint16](t, (rows-1)*dstStride+d))
				ToBF16Rows(got, dstStride, x, stride, rows, d)
				for i, code := range got {
					want := uint16(wrongBF16)
					if c := i % dstStride; c < d {
						want = toBF16(x[i/dstStride*stride+c])
					}
					if code != want {
						t.Fatalf("%d rows of %d: element %d is %#x, want %#x", rows, d, i, code, want)
					}
				}
			}
		}
	})
}

func TestToBF16RoundsToTheNearestCode(t *testing.T) {
	// Rounding gives an infinity from the value that would follow the largest
	// one.
	values := make([]float64, 0x7f81)
	for code := range 0x7f80 {
		values[code] = bf16Value(uint16(code))
	}
	values[0x7f80] = 0x1p128
	xs := append([]float32{}, specials...)
	for code := range 0x7f80 {
		lower := math.Float32frombits(uint32(code) << 16)
		xs = append(xs, around(lower)...)
		xs = append(xs, around(math.Float32frombits(uint32(code)<<16|0x8000))...)
	}
	eachPath(t, func(t *testing.T) {
		in := append(endOfPage(t, len(xs))[:0], xs...)
		got := endOfPageOf[uint16](t, len(xs))
		ToBF16(got, in)
		for i, x := range xs {
			if x != x {
				if !math.IsNaN(bf16Value(got[i])) || got[i] != toBF16(x) {
					t.Fatalf("NaN %#x becomes %#x", math.Float32bits(x), got[i])
				}
				continue
			}
			want := uint16(nearest(values, math.Abs(float64(x))))
			if math.Signbit(float64(x)) {
				want |= 0x8000
			}
			if got[i] != want {
				t.Fatalf("%g (%#x) becomes %#x, want %#x", x, math.Float32bits(x), got[i], want)
			}
		}
	})
}

func TestFromE4M3DecodesEveryCode(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		codes := endOfPageOf[uint8](t, 256)
		for i := range codes {
			codes[i] = uint8(i)
		}
		got := endOfPage(t, len(codes))
		FromE4M3(got, codes)
		for i, x := range got {
			if want := e4m3Value(uint8(i)); !sameValue(x, want) {
				t.Fatalf("code %#x is %g, want %g", i, x, want)
			}
		}
	})
}

func TestE4M3CodesOfTheStandard(t *testing.T) {
	// Table 1 of "FP8 Formats for Deep Learning".
	eachPath(t, func(t *testing.T) {
		for code, want := range map[uint8]float32{0x7e: 448, 0x08: 0x1p-6, 0x07: 0.875 * 0x1p-6, 0x01: 0x1p-9, 0x38: 1,
			0xc0: -2, 0: 0} {
			got, back := make([]float32, 16), make([]uint8, 16)
			for i := range back {
				back[i] = code
			}
			FromE4M3(got, back)
			ToE4M3(back, got)
			if got[0] != want || back[0] != code {
				t.Errorf("%#x is %g, and back %#x; want %g", code, got[0], back[0], want)
			}
		}
	})
}

func TestToE4M3RoundsToTheNearestCode(t *testing.T) {
	values := make([]float64, 0x7f)
	for code := range values {
		values[code] = e4m3Value(uint8(code))
	}
	xs := append([]float32{1e-9, -1e-9, 449, 463.9, 464, 480, 1e9, -1e9}, specials...)
	for code, v := range values {
		xs = append(xs, around(float32(v))...)
		if code > 0 {
			xs = append(xs, around(float32((values[code-1]+v)/2))...)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1 << 16 {
		xs = append(xs, math.Float32frombits(rng.Uint32()), float32(rng.NormFloat64()), float32(rng.NormFloat64()*0x1p-8))
	}
	eachPath(t, func(t *testing.T) {
		in := append(endOfPage(t, len(xs))[:0], xs...)
		got := endOfPageOf[uint8](t, len(xs))
		ToE4M3(got, in)
		for i, x := range xs {
			want := uint8(0x7f)
			if x == x {
				want = uint8(nearest(values, math.Abs(float64(x))))
				if math.Signbit(float64(x)) {
					want |= 0x80
				}
			}
			if got[i] != want {
				t.Fatalf("%g (%#x) becomes %#x, want %#x", x, math.Float32bits(x), got[i], want)
			}
		}
	})
}

func TestConversionsOfEveryLength(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for n := range 70 {
			x := fill(rng, endOfPage(t, n))
			h, e, back := endOfPageOf[uint16](t, n), endOfPageOf[uint8](t, n), endOfPage(t, n)
			ToBF16(h, x)
			FromBF16(back, h)
			for i := range x {
				near(t, "bf16", back[i], float64(x[i]), math.Abs(float64(x[i]))*0x1p-8)
			}
			ToE4M3(e, x)
			FromE4M3(back, e)
			for i := range x {
				near(t, "E4M3", back[i], float64(x[i]), math.Abs(float64(x[i]))*0x1p-4+0x1p-10)
			}
			ToE5M2(e, x)
			FromE5M2(back, e)
			for i := range x {
				near(t, "E5M2", back[i], float64(x[i]), math.Abs(float64(x[i]))*0x1p-3+0x1p-17)
			}
			ToF16(h, x)
			FromF16(back, h)
			for i := range x {
				near(t, "F16", back[i], float64(x[i]), math.Abs(float64(x[i]))*0x1p-11+0x1p-25)
			}
		}
	})
}
