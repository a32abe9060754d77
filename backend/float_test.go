package backend_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// table returns the lines of a file in testdata, split into words.
func table(t *testing.T, name string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines [][]string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, strings.Fields(s.Text()))
	}
	return lines
}

func number(t *testing.T, word string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(word, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// code returns the bits of x rounded to dt.
func code(dt backend.DType, x float64) uint16 {
	var mem [8]byte
	dt.Put(mem[:], 0, x)
	return binary.LittleEndian.Uint16(mem[:])
}

func value(dt backend.DType, code uint16) float64 {
	var mem [8]byte
	binary.LittleEndian.PutUint16(mem[:], code)
	return dt.Get(mem[:], 0)
}

func same(x, y float64) bool {
	return x == y && math.Signbit(x) == math.Signbit(y) || x != x && y != y
}

func TestFloat8MatchesMLDTypes(t *testing.T) {
	for _, dt := range []backend.DType{backend.E4M3, backend.E5M2} {
		values, rounds := 0, 0
		for _, line := range table(t, strings.ToLower(dt.String())+".txt") {
			switch line[0] {
			case "value":
				values++
				c, err := strconv.ParseUint(line[1], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				want := number(t, line[2])
				if got := value(dt, uint16(c)); !same(got, want) {
					t.Fatalf("%s %02x is %v, want %v", dt, c, got, want)
				}
				if got := code(dt, want); want == want && got != uint16(c) {
					t.Fatalf("%s of %v is %02x, want %02x", dt, want, got, c)
				}
			case "round":
				rounds++
				x := number(t, line[1])
				if got := fmt.Sprintf("%02x", code(dt, x)); got != line[2] {
					t.Fatalf("%s of %v is %s, want %s", dt, x, got, line[2])
				}
				if got := code(dt, -x) &^ 0x80; fmt.Sprintf("%02x", got) != line[2] {
					t.Fatalf("%s of %v is %02x apart from the sign, want %s", dt, -x, got, line[2])
				}
			}
		}
		if values != 256 || rounds < 350 {
			t.Errorf("%s: %d values and %d cases of rounding in the table", dt, values, rounds)
		}
	}
}

// aboutMiddle returns the test cases between two numbers that testdata/generate_floats.py
// makes.
func aboutMiddle(low, high float64) []float64 {
	middle := (low + high) / 2
	single := float32(middle)
	return []float64{
		middle, float64(math.Nextafter32(single, 0)), float64(math.Nextafter32(single, math.MaxFloat32)),
		math.Nextafter(middle, 0), math.Nextafter(middle, math.MaxFloat64),
	}
}

func TestF16MatchesNumPy(t *testing.T) {
	digest := func(data []byte) string {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:8])
	}
	lines := 0
	for _, line := range table(t, "f16.txt") {
		high, err := strconv.ParseUint(line[1], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		lines++
		var data []byte
		for c := uint16(high << 8); ; c++ {
			x := value(backend.F16, c)
			switch {
			case line[0] == "rounds":
				next := value(backend.F16, c+1)
				if math.IsInf(next, 0) {
					next = 65536
				}
				for _, x := range aboutMiddle(x, next) {
					data = binary.LittleEndian.AppendUint16(data, code(backend.F16, x))
				}
			case x != x:
				data = binary.LittleEndian.AppendUint32(data, 0x7fc00000)
			default:
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
			}
			if c&0xff == 0xff {
				break
			}
		}
		if got := digest(data); got != line[2] {
			t.Errorf("F16, %s of codes %02x00 to %02xff: digest %s, want %s", line[0], high, high, got, line[2])
		}
	}
	if want := 256 + 0x7c; lines != want {
		t.Errorf("%d lines in the table, want %d", lines, want)
	}
}

func TestRoundingOfF64IsNotRoundedTwice(t *testing.T) {
	for dt, last := range map[backend.DType]uint16{
		backend.E4M3: 0x7e, backend.E5M2: 0x7b, backend.F16: 0x7bff, backend.BF16: 0x7f7f,
	} {
		for c := range last {
			middle := (value(dt, c) + value(dt, c+1)) / 2
			below, above := math.Nextafter(middle, 0), math.Nextafter(middle, math.MaxFloat64)
			if lo, tie, hi := code(dt, below), code(dt, middle), code(dt, above); lo != c || tie != c+c&1 || hi != c+1 {
				t.Fatalf("%s: about %v, between %#x and %#x, codes are %#x, %#x, %#x", dt, middle, c, c+1, lo, tie, hi)
			}
		}
	}
}

func TestNaNAndInfinityInFewBits(t *testing.T) {
	inf := math.Inf(1)
	for dt, want := range map[backend.DType]float64{backend.F16: inf, backend.BF16: inf, backend.E5M2: inf,
		backend.E4M3: 448} {
		for _, sign := range []float64{1, -1} {
			if got := dt.Round(sign * inf); got != sign*want {
				t.Errorf("%s of %v is %v, want %v", dt, sign*inf, got, sign*want)
			}
			if got := dt.Round(math.Copysign(math.NaN(), sign)); got == got {
				t.Errorf("%s of NaN is %v", dt, got)
			}
		}
	}
	for dt, want := range map[backend.DType]float64{backend.F16: inf, backend.BF16: inf, backend.E5M2: 57344,
		backend.E4M3: 448} {
		if got := dt.Round(-1e300); got != -want {
			t.Errorf("%s of -1e300 is %v, want %v", dt, got, -want)
		}
	}
}

// Numbers are drawn from a quarter of the smallest subnormal up to the end of the largest
// binade.
func TestRoundingIsNearestMonotoneAndSymmetric(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for dt, f := range map[backend.DType]struct{ mantissa, least, largest int }{ // bits, exponent, exponent
		backend.E4M3: {3, -6, 8}, backend.E5M2: {2, -14, 15}, backend.F16: {10, -14, 15}, backend.BF16: {7, -126, 127},
	} {
		last, top := 0.0, dt.Round(math.Ldexp(2-math.Ldexp(1, -f.mantissa), f.largest))
		if dt == backend.E4M3 {
			top = 448
		}
		for range 100_000 {
			x := math.Ldexp(1+rng.Float64(), f.least-f.mantissa-2+rng.IntN(f.largest+1-f.least+f.mantissa+2))
			y := dt.Round(x)
			_, exponent := math.Frexp(x)
			unit := math.Ldexp(1, max(exponent-1, f.least)-f.mantissa)
			if x <= top && math.Abs(y-x) > unit/2 {
				t.Fatalf("%s of %v is %v, more than half of %v away", dt, x, y, unit)
			}
			if z := dt.Round(-x); z != -y {
				t.Fatalf("%s of %v is %v, but %s of %v is %v", dt, x, y, dt, -x, z)
			}
			if z := dt.Round(y); z != y {
				t.Fatalf("%s holds %v, but rounds it to %v", dt, y, z)
			}
			if z := dt.Round(last); last < x && z > y || last > x && z < y {
				t.Fatalf("%s of %v and %v is %v and %v", dt, last, x, z, y)
			}
			last = x
		}
	}
}
