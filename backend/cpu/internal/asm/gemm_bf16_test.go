package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

const (
	twoBlocks = 1026 // longer than a block of k on every path
	farRows   = 2052 // rows more than a page apart
)

// endOfPageOf is endOfPage for elements of one or two bytes.
func endOfPageOf[T uint8 | uint16](t testing.TB, n int) []T {
	per := 4 / int(unsafe.Sizeof(T(0)))
	words := (n + per - 1) / per
	if words == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&endOfPage(t, words)[0])), words*per)[words*per-n:]
}

// randomBF16 returns normal random numbers in bf16.
func randomBF16(rng *rand.Rand, n int) []uint16 {
	x := make([]uint16, n)
	ToBF16(x, random(rng, n))
	return x
}

// wrongBF16 is a NaN, so that a kernel that reads what it must not gives a
// wrong result.
const wrongBF16 = 0x7fe5

func wrong(x []uint16) []uint16 {
	for i := range x {
		x[i] = wrongBF16
	}
	return x
}

func sameCodes[T uint8 | uint16](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %#x, want %#x", what, i, got[i], want[i])
		}
	}
}

func TestPackBF16PlacesEveryElement(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, k := range []int{0, 1, 2, 3, 8, 9, 31, 33, 300} {
			for _, n := range []int{0, 1, 15, 16, 17, 40, 185} {
				for name, b := range layouts(t, rng, k, n) {
					k2 := even(k)
					want := make([]uint16, PackedSizeBF16(k, n))
					for p := range k {
						for j := range n {
							want[j/16*16*k2+p/2*32+j%16*2+p%2] = toBF16(b.at(p, j))
						}
					}
					what := fmt.Sprintf("k=%d n=%d %s", k, n, name)
					got := wrong(endOfPageOf[uint16](t, len(want)))
					PackBF16(got, b.data, k, n, b.rs, b.cs)
					sameCodes(t, "float32 "+what, got, want)

					bits := endOfPageOf[uint16](t, len(b.data))
					ToBF16(bits, b.data)
					wrong(got)
					PackBF16Bits(got, bits, k, n, b.rs, b.cs)
					sameCodes(t, "bf16 "+what, got, want)
				}
			}
		}
	})
}

func TestRowsBF16PlacesEveryElement(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, m := range []int{0, 1, 3, 15, 16, 17, 40, 117} {
			for _, k := range []int{0, 1, 2, 9, 31, 32, 33, 70} {
				for name, a := range layouts(t, rng, m, k) {
					stride := RowStrideBF16(k)
					want := wrong(make([]uint16, RowsSizeBF16(m, k)))
					for i := range m {
						row := want[i*stride:][:even(k)]
						clear(row)
						for p := range k {
							row[p] = toBF16(a.at(i, p))
						}
					}
					got := wrong(endOfPageOf[uint16](t, len(want)))
					what := fmt.Sprintf("m=%d k=%d %s", m, k, name)
					RowsBF16(got, a.data, m, k, a.rs, a.cs)
					sameCodes(t, "float32 "+what, got, want)

					bits := endOfPageOf[uint16](t, len(a.data))
					ToBF16(bits, a.data)
					wrong(got)
					RowsBF16Bits(wrong(got), bits, m, k, a.rs, a.cs)
					sameCodes(t, "bf16 "+what, got, want)
				}
			}
		}
	})
}

// operandsBF16 returns random bf16 operands of a product, a and b in row-major
// order, and b packed.
func operandsBF16(rng *rand.Rand, m, n, k int) (a, b, bp []uint16) {
	a = make([]uint16, m*even(k))
	for i := range m {
		copy(a[i*even(k):], randomBF16(rng, k))
	}
	b = randomBF16(rng, k*n)
	return a, b, packedBF16(b, k, n)
}

// packedBF16 packs B, K×N in row-major order.
func packedBF16(b []uint16, k, n int) []uint16 {
	bp := make([]uint16, PackedSizeBF16(k, n))
	PackBF16Bits(bp, b, k, n, n, 1)
	return bp
}

func TestGemmBF16FollowsItsDefinition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, m := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 33, 103} {
			for _, n := range []int{0, 1, 15, 16, 17, 33, 71, 140} {
				for _, k := range []int{0, 1, 2, 9, 32, 64, 95, twoBlocks + 1} {
					a, b, bp := operandsBF16(rng, m, n, k)
					a = append(endOfPageOf[uint16](t, len(a))[:0], a...)
					bp = append(endOfPageOf[uint16](t, len(bp))[:0], bp...)
					for _, accumulate := range []bool{false, true} {
						checkGemmBF16(t, fmt.Sprintf("%dx%dx%d accumulate %t", m, n, k, accumulate), rng, m, n, k, a, b, bp, accumulate)
					}
				}
			}
		}
	})
}

// checkGemmBF16 compares elements of C with float64 within a first-order error
// bound, and bit for bit with the order that GemmBF16 documents.
func checkGemmBF16(t *testing.T, what string, rng *rand.Rand, m, n, k int, a, b, bp []uint16, accumulate bool) {
	t.Helper()
	ldc, k2 := n+3, even(k)
	c := poisoned(endOfPage(t, extent(m, n, ldc, 1)))
	start := random(rng, m*n)
	if accumulate {
		for i := 0; i < m && n > 0; i++ {
			copy(c[i*ldc:], start[i*n:][:n])
		}
	}
	GemmBF16(m, n, k, a, k2, bp, c, ldc, accumulate)
	for i := range c {
		if i%ldc >= n && !isPoison(c[i]) {
			t.Fatalf("%s: wrote column %d", what, i%ldc)
		}
	}
	for check := range min(m*n, 40) {
		i, j := rng.IntN(m), rng.IntN(n)
		if check == 0 {
			i, j = m-1, n-1
		}
		var first float32
		if accumulate {
			first = start[i*n+j]
		}
		column := make([]uint16, k)
		want, size := float64(first), math.Abs(float64(first))
		for p := range k {
			column[p] = b[p*n+j]
			x := float64(fromBF16(a[i*k2+p])) * float64(fromBF16(column[p]))
			want += x
			size += math.Abs(x)
		}
		chain := sumBF16(first, a[i*k2:][:k], column)
		got := c[i*ldc+j]
		near(t, fmt.Sprintf("%s: C[%d,%d]", what, i, j), got, want, float64(k+1)*eps32*size)
		sameBits(t, fmt.Sprintf("%s: C[%d,%d]", what, i, j), []float32{got}, []float32{chain})
	}
}

// sumBF16 returns sum plus the products of a and b, added in the order of the
// path.
func sumBF16(sum float32, a, b []uint16) float32 {
	if Path() == pathAMX {
		return tileSumBF16(sum, a, b)
	}
	for p := range even(len(a)) {
		if p ^= 1; p < len(a) { // the odd element first
			sum += fromBF16(a[p]) * fromBF16(b[p])
		}
	}
	return sum
}

func TestGemmBF16RowHasTheSameBitsForEveryM(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 230, farRows, 83
		a, _, bp := operandsBF16(rng, m, n, k)
		whole := make([]float32, m*n)
		GemmBF16(m, n, k, a, k, bp, whole, n, false)
		for _, rows := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 29, 193, 197} {
			i := rng.IntN(m - rows)
			c := make([]float32, rows*n)
			GemmBF16(rows, n, k, a[i*k:], k, bp, c, n, false)
			sameBits(t, fmt.Sprintf("rows %d to %d alone", i, i+rows), c, whole[i*n:][:rows*n])
		}
	})
}

func TestGemmBF16HasTheSameBitsHoweverItIsSplit(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 31, 2 * twoBlocks, 83
		a, b, bp := operandsBF16(rng, m, n, k)
		want := make([]float32, m*n)
		GemmBF16(m, n, k, a, k, bp, want, n, false)

		for range 10 {
			i, j, p := rng.IntN(m+1), rng.IntN(n/PanelWidth+1)*PanelWidth, rng.IntN(k/32+1)*32
			got := make([]float32, m*n)
			GemmBF16(i, n, k, a, k, bp, got, n, false)
			GemmBF16(m-i, n, k, a[i*k:], k, bp, got[i*n:], n, false)
			sameBits(t, fmt.Sprintf("rows split at %d", i), got, want)

			got = make([]float32, m*n)
			GemmBF16(m, j, k, a, k, bp, got, n, false)
			GemmBF16(m, n-j, k, a, k, bp[j*k:], got[j:], n, false)
			sameBits(t, fmt.Sprintf("columns split at %d", j), got, want)

			var left, right []uint16
			for r := range m {
				row := a[r*k:][:k]
				left, right = append(left, row[:p]...), append(right, row[p:]...)
			}
			got = make([]float32, m*n)
			GemmBF16(m, n, p, left, p, packedBF16(b, p, n), got, n, false)
			GemmBF16(m, n, k-p, right, k-p, packedBF16(b[p*n:], k-p, n), got, n, true)
			sameBits(t, fmt.Sprintf("k split at %d", p), got, want)
		}
	})
}

func TestGemmBF16HasTheSameBitsAtEveryAddress(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 17, 40, 101
		a, _, bp := operandsBF16(rng, m, n, k)
		want := make([]float32, m*n)
		GemmBF16(m, n, k, a, k, bp, want, n, false)
		for shift := range 33 {
			shifted := func(x []uint16) []uint16 {
				return append(make([]uint16, shift, shift+len(x)), x...)[shift:]
			}
			got := make([]float32, shift+m*n)[shift:]
			GemmBF16(m, n, k, shifted(a), k, shifted(bp), got, n, false)
			sameBits(t, fmt.Sprintf("shifted by %d", shift), got, want)
		}
	})
}

func TestGemmBF16KeepsNaNInItsRowAndColumn(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 14, 20, 21
		a, b, _ := operandsBF16(rng, m, n, k)
		a[4*k+3] = toBF16(float32(math.NaN()))
		b[7*n+18] = toBF16(float32(math.Inf(1)))
		c := make([]float32, m*n)
		GemmBF16(m, n, k, a, k, packedBF16(b, k, n), c, n, false)
		for i, x := range c {
			finite := !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0)
			if row, col := i/n, i%n; finite != (row != 4 && col != 18) {
				t.Errorf("C[%d,%d] is %g", row, col, x)
			}
		}
	})
}

func TestGemmBF16FlushesSubnormalsOnlyWithTheDotInstruction(t *testing.T) {
	const tiny = 0x1p-127 // subnormal
	eachPath(t, func(t *testing.T) {
		for _, m := range []int{1, 5} {
			a, bp := make([]uint16, 2*m), packedBF16([]uint16{toBF16(0x1p-63), 0}, 2, 1)
			c := make([]float32, 2*m)
			for i := range m {
				a[2*i] = toBF16(0x1p-64)
			}
			GemmBF16(m, 1, 2, a, 2, bp, c, 1, false)
			want := float32(tiny)
			if Path() == pathAMX || Path() == pathAVX512Dot {
				want = 0
			}
			if c[m-1] != want {
				t.Errorf("M=%d: a product of 2^-127 gives %g, want %g", m, c[m-1], want)
			}
		}
	})
}

func TestGemmBF16AllocatesNothingInTheSteadyState(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const m, n, k = 20, 48, farRows
		a, _, bp := operandsBF16(newRand(t), m, n, k)
		c := make([]float32, m*n)
		if got := testing.AllocsPerRun(10, func() { GemmBF16(m, n, k, a, k, bp, c, n, false) }); got != 0 {
			t.Errorf("%g allocations a product, want 0", got)
		}
	})
}

func TestDotLoopBF16CountsOnlyWhatItRuns(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		one, ten := DotLoopBF16(1), DotLoopBF16(10)
		if hasDot := Path() == pathAMX || Path() == pathAVX512Dot; hasDot != (one > 0) || ten != 10*one {
			t.Errorf("%d operations in one round, %d in ten", one, ten)
		}
		if got := DotLoopBF16(0); got != 0 {
			t.Errorf("%d operations in no round", got)
		}
	})
}

func TestBF16KernelsNameTheSliceThatIsTooShort(t *testing.T) {
	f := func(n int) []float32 { return make([]float32, n) }
	h := func(n int) []uint16 { return make([]uint16, n) }
	b := func(n int) []uint8 { return make([]uint8, n) }
	for want, call := range map[string]func(){
		"PackBF16: dst has 63 elements, needs 64":     func() { PackBF16(h(63), f(9), 3, 3, 3, 1) },
		"PackBF16: b has 8 elements, needs 9":         func() { PackBF16(h(64), f(8), 3, 3, 3, 1) },
		"PackBF16Bits: dst has 63 elements, needs 64": func() { PackBF16Bits(h(63), h(9), 3, 3, 3, 1) },
		"PackBF16Bits: b has 8 elements, needs 9":     func() { PackBF16Bits(h(64), h(8), 3, 3, 3, 1) },
		"RowsBF16: dst has 95 elements, needs 96":     func() { RowsBF16(h(95), f(9), 3, 3, 3, 1) },
		"RowsBF16: a has 8 elements, needs 9":         func() { RowsBF16(h(96), f(8), 3, 3, 1, 3) },
		"RowsBF16Bits: dst has 95 elements, needs 96": func() { RowsBF16Bits(h(95), h(9), 3, 3, 3, 1) },
		"RowsBF16Bits: a has 8 elements, needs 9":     func() { RowsBF16Bits(h(96), h(8), 3, 3, 1, 3) },
		"GemmBF16: a has 7 elements, needs 8":         func() { GemmBF16(2, 3, 3, h(7), 4, h(64), f(6), 3, false) },
		"GemmBF16: bp has 63 elements, needs 64":      func() { GemmBF16(2, 3, 3, h(8), 4, h(63), f(6), 3, false) },
		"GemmBF16: c has 5 elements, needs 6":         func() { GemmBF16(2, 3, 3, h(8), 4, h(64), f(5), 3, false) },
		"ToBF16: dst has 1 elements, needs 2":         func() { ToBF16(h(1), f(2)) },
		"FromBF16: dst has 1 elements, needs 2":       func() { FromBF16(f(1), h(2)) },
		"ToE4M3: dst has 1 elements, needs 2":         func() { ToE4M3(b(1), f(2)) },
		"FromE4M3: dst has 1 elements, needs 2":       func() { FromE4M3(f(1), b(2)) },
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
