package asm

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// codesOf returns random integers from least to least+count-1, and random F16
// scales and minimums of both signs, including zeros, subnormals, huge numbers
// and, if odd, numbers that are not finite.
func codesOf(rng *rand.Rand, k, n, least, count int, odd bool) Codes {
	blocks := quantBlocks(k)
	c := Codes{Q: make([]byte, k*n), RS: 1, CS: k}
	for i := range c.Q {
		c.Q[i] = byte(least + rng.IntN(count))
	}
	halves := func() Halves {
		h := Halves{Data: make([]uint16, blocks*n), RS: 1, CS: blocks}
		for i := range h.Data {
			for h.Data[i] = uint16(rng.Uint32()); !odd && !isFinite(h.Data[i]); {
				h.Data[i] = uint16(rng.Uint32())
			}
			if rng.IntN(8) == 0 {
				h.Data[i] &= 0x8000 // a zero of either sign
			}
		}
		return h
	}
	c.Scale, c.Min = halves(), halves()
	return c
}

var codeFormats = []struct {
	name         string
	least, count int
	pack         func(dst []byte, c Codes, k, n int)
	value        func(q int8, d, m float32) float32
}{
	{"Q8", -128, 256, PackQ8Codes, func(q int8, d, _ float32) float32 { return float32(q) * d }},
	{"Q4", -8, 16, PackQ4Codes, func(q int8, d, _ float32) float32 { return float32(q) * d }},
	{"Q4_1", 0, 16, PackQ4_1Codes, func(q int8, d, m float32) float32 { return float32(float32(q)*d) + m }},
}

func TestPackedCodesKeepTheirValues(t *testing.T) {
	rng := newRand(t)
	for i, f := range codeFormats {
		packed := quantFormats[i]
		for _, k := range []int{1, 31, 32, 33, 96} {
			for _, n := range []int{1, 16, 17, 40} {
				c := codesOf(rng, k, n, f.least, f.count, true)
				dst, w := bytesAtEndOfPage(t, packed.packedBytes(k, n)), make([]float32, k*n)
				f.pack(dst, c, k, n)
				packed.unpack(w, dst, k, 0, n, 1, k)
				for j := range n {
					for p := range k {
						b := p / QuantBlock
						d, m := c.Scale.at(b, j), uint16(0)
						if f.name == "Q4_1" {
							m = c.Min.at(b, j)
						}
						got, want := w[j*k+p], f.value(int8(c.Q[p+j*k]), fromF16(d), fromF16(m))
						if finite := isFinite(d) && isFinite(m); finite && got != want || !finite && got == got {
							t.Fatalf("%s %d×%d: element (%d,%d) is %g, want %g with d %#x, m %#x", f.name, k, n, p, j, got, want, d, m)
						}
					}
				}
			}
		}
	}
}

// Packing the integers, scales and minimums of a packed matrix again gives the
// same bytes.
func TestPackedCodesOfAQuantisedMatrixAreItsBytes(t *testing.T) {
	rng := newRand(t)
	const k, n = 70, 37
	b := weightsWithExtremes(rng, k, n)
	want := make([]byte, PackedBytesQ4_1(k, n))
	PackQ4_1(want, b, k, n, n, 1)
	blocks := quantBlocks(k)
	c := Codes{Q: make([]byte, k*n), RS: n, CS: 1, Scale: Halves{make([]uint16, blocks*n), n, 1},
		Min: Halves{make([]uint16, blocks*n), n, 1}}
	for j := range n {
		for p := range k {
			block := want[(j/16*blocks+p/32)*blockBytesQ4_1:][:blockBytesQ4_1]
			c.Q[p*n+j] = block[32+p%32/8*64+4*(j%16)+p%4] >> (p % 8 & 4) & 15
			c.Scale.Data[p/32*n+j] = binary.LittleEndian.Uint16(block[2*(j%16):])
			c.Min.Data[p/32*n+j] = binary.LittleEndian.Uint16(block[288+2*(j%16):])
		}
	}
	got := make([]byte, len(want))
	PackQ4_1Codes(got, c, k, n)
	// The last block has 6 rows. Quantising fills it up with zeros, whose codes
	// are not 0.
	for i := range want {
		inLast := i/blockBytesQ4_1%blocks == blocks-1
		if got[i] != want[i] && !(inLast && i%blockBytesQ4_1 >= 32 && i%blockBytesQ4_1 < 288) {
			t.Fatalf("byte %d is %#x, want %#x", i, got[i], want[i])
		}
	}
}

// For scales and minimums of any size and sign, and for C of zeros of both
// signs, every path gives the same bits as the definition in arbitrary
// precision.
func TestGemmQ4_1IsItsDefinition(t *testing.T) {
	const m, k, n = 7, 100, 37
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	eachPath(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for _, odd := range []bool{false, true} {
			c := codesOf(rng, k, n, 0, 16, odd)
			bp := bytesAtEndOfPage(t, PackedBytesQ4_1(k, n))
			PackQ4_1Codes(bp, c, k, n)
			a, start := random(rng, m*k), random(rng, m*n)
			clear(a[2*k : 3*k])
			for i := range start {
				if i%3 == 0 {
					start[i] = float32(math.Copysign(0, float64(i%2)-0.5))
				}
			}
			rows := rowsOf(a, m, k)
			got := clone32(start)
			GemmQ4_1(m, n, k, rows, bp, got, n, true)
			for i := range m {
				for j := range n {
					want, bad := start[i*n+j], false
					for p0 := 0; p0 < k; p0 += QuantBlock {
						d, least := c.Scale.at(p0/32, j), c.Min.at(p0/32, j)
						if bad = bad || !isFinite(d) || !isFinite(least); bad {
							continue
						}
						dot, sum, scale := 0.0, 0.0, 0.0
						for p := p0; p < min(k, p0+QuantBlock); p++ {
							var q float64
							q, scale = valueQ8(rows, k, i, p)
							dot += q * float64(c.Q[p+j*k])
							sum += q
						}
						value := exact(exact(dot).Mul(exact(dot), half(d)), exact(sum).Mul(exact(sum), half(least)))
						rounded, _ := value.Float32()
						if value.Sign() == 0 { // the sign of a zero is that of float arithmetic
							rounded = float32(dot*float64(fromF16(d)) + sum*float64(fromF16(least)))
						}
						total := exact(float64(rounded))
						chain := exact(total.Mul(total, exact(scale)), exact(float64(want)))
						if chain.Sign() != 0 {
							want, _ = chain.Float32()
						} else {
							want = float32(float64(rounded)*scale + float64(want))
						}
					}
					if x := got[i*n+j]; bad != (x != x) || !bad && math.Float32bits(x) != math.Float32bits(want) {
						t.Fatalf("C[%d,%d] is %g, want %g, seed %#x", i, j, x, want, seed)
					}
				}
			}
		}
	})
}

// exact returns the sum of terms without rounding.
func exact[T float64 | *big.Float](terms ...T) *big.Float {
	sum := new(big.Float).SetPrec(1000)
	for _, x := range terms {
		switch x := any(x).(type) {
		case float64:
			sum.Add(sum, big.NewFloat(x))
		case *big.Float:
			sum.Add(sum, x)
		}
	}
	return sum
}

func half(h uint16) *big.Float { return exact(float64(fromF16(h))) }

func TestFMARoundsOnce(t *testing.T) {
	rng := newRand(t)
	number := func() float32 { return math.Float32frombits(rng.Uint32()) }
	checked := 0
	for range 300_000 {
		x, y, z := number(), number(), number()
		switch rng.IntN(3) {
		case 0: // of the product's magnitude, so that the sum cancels
			z = -x * y * (1 + float32(rng.IntN(5)-2)/(1<<23))
		case 1: // halfway between two float32 numbers, or next to halfway
			x, y = float32(1+2*rng.IntN(1<<11)), 0x1p-24
			z = float32(rng.IntN(1<<24)) + float32(rng.IntN(3)-1)*0x1p-60
		}
		got := fma(x, y, z)
		product := float64(x) * float64(y)
		if math.IsNaN(product+float64(z)) || math.IsInf(product+float64(z), 0) {
			if want := float32(product + float64(z)); want != got && (want == want || got == got) {
				t.Fatalf("fma(%g, %g, %g) is %g, want %g", x, y, z, got, want)
			}
			continue
		}
		want, _ := exact(product, float64(z)).Float32()
		if checked++; got != want {
			t.Fatalf("fma(%g, %g, %g) is %g, want %g", x, y, z, got, want)
		}
	}
	if checked < 200_000 {
		t.Errorf("%d numbers were checked", checked)
	}
}

func TestPackQ4_1HasTheValuesOfGGML(t *testing.T) {
	rng := newRand(t)
	const k, n = 64, 48
	b := random(rng, k*n)
	got := make([]byte, PackedBytesQ4_1(k, n))
	PackQ4_1(got, b, k, n, 1, k)
	w := make([]float32, k*n)
	UnpackQ4_1(w, got, k, 0, n, 1, k)
	for p := 0; p < len(b); p += 32 {
		for q, want := range ggmlQ4_1(b[p:][:32]) {
			if float64(w[p+q]) != want {
				t.Fatalf("element %d is %g, want %g", p+q, w[p+q], want)
			}
		}
	}
}
