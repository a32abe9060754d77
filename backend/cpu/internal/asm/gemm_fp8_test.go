package asm

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// elementFP8 computes an element of C as GemmFP8 documents it (chain), in
// float64 (want), and the sum of the terms' magnitudes in float64 (size). It
// reads rows and panels as documented.
func elementFP8(rows, panels []byte, k, i, j int, start float32) (chain float32, want, size float64) {
	blocks := (k + 127) / 128
	row := rows[i*RowsBytesFP8(1, k):]
	panel := panels[j/16*PanelBytesFP8(k):]
	x, codes := row[linesFP8(4*blocks):], panel[linesFP8(12*blocks):]
	chain, want, size = start, float64(start), math.Abs(float64(start))
	for b := range blocks {
		scaleA, scaleB := float32At(row[4*b:]), float32At(panel[12*b:])
		var sum float32
		for p := b * 128; p < min(k, b*128+128); p += 2 {
			for _, p := range []int{p + 1, p} {
				if p >= k {
					continue
				}
				a := fromBF16(binary.LittleEndian.Uint16(x[2*p:]))
				w := float32(e4m3Value(codes[placeFP8(p, j)]))
				sum += float32(a * w)
				exact := float64(a) * float64(w) * float64(scaleA) * float64(scaleB)
				want += exact
				size += math.Abs(exact)
			}
		}
		scale := float32(scaleA * scaleB)
		chain += float32(scale * sum)
	}
	return chain, want, size
}

func TestGemmFP8FollowsItsDefinition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, m := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 103} {
			for _, n := range []int{0, 1, 15, 16, 17, 33, 71, 140} {
				for _, k := range []int{0, 1, 2, 9, 128, 131, 650} {
					rows, panels := randomFP8(rng, m, n, k)
					rows = append(bytesAtEndOfPage(t, len(rows))[:0], rows...)
					panels = append(bytesAtEndOfPage(t, len(panels))[:0], panels...)
					for _, accumulate := range []bool{false, true} {
						what := fmt.Sprintf("%dx%dx%d accumulate %t", m, n, k, accumulate)
						checkGemmFP8(t, what, rng, m, n, k, rows, panels, accumulate)
					}
				}
			}
		}
	})
}

// checkGemmFP8 compares elements of C with float64 within a first-order error
// bound, and bit for bit with the chain that GemmFP8 documents.
func checkGemmFP8(t *testing.T, what string, rng *rand.Rand, m, n, k int, rows, panels []byte,
	accumulate bool) {
	t.Helper()
	ldc := n + 3
	c := poisoned(endOfPage(t, extent(m, n, ldc, 1)))
	start := make([]float32, m*n)
	if accumulate {
		fill(rng, start)
		for i := 0; i < m && n > 0; i++ {
			copy(c[i*ldc:], start[i*n:][:n])
		}
	}
	GemmFP8(m, n, k, rows, panels, c, ldc, accumulate)
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
		chain, want, size := elementFP8(rows, panels, k, i, j, start[i*n+j])
		got := c[i*ldc+j]
		near(t, fmt.Sprintf("%s: C[%d,%d]", what, i, j), got, want, float64(k+3)*eps32*size)
		sameBits(t, fmt.Sprintf("%s: C[%d,%d]", what, i, j), []float32{got}, []float32{chain})
	}
}

func TestGemmFP8MultipliesEveryCode(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		// Column j of B has code j in its first row and zeros below, and each
		// row of A has one number, so the products show the value of each code.
		const k, n = 3, 256
		codes := make([]byte, k*n)
		for j := range n {
			codes[j] = byte(j)
		}
		panels := make([]byte, packedBytesFP8(k, n))
		PackFP8Bits(panels, codes, []float32{0.5, 2}, k, n, n, 1, 2, 1)
		for _, m := range []int{1, 4, 5, 14} {
			a := make([]float32, m*k)
			for i := range m {
				a[i*k] = 448
			}
			rows, c := make([]byte, RowsBytesFP8(m, k)), make([]float32, m*n)
			RowsFP8(rows, a, m, k, k, 1)
			GemmFP8(m, n, k, rows, panels, c, n, false)
			for i, x := range c {
				want := 448 * e4m3Value(byte(i%n)) * []float64{0.5, 2}[i%n/128]
				if float64(x) != want && !(math.IsNaN(want) && x != x) {
					t.Fatalf("M=%d: 448 times code %#x is %g, want %g", m, i%n, x, want)
				}
			}
		}
	})
}

func TestGemmFP8RowHasTheSameBitsForEveryM(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		m, k, n := 1000, 6*FP8Block+9, 83
		if Path() == pathPortable {
			m = 250
		}
		rows, panels := randomFP8(rng, m, n, k)
		step := RowsBytesFP8(1, k)
		whole := make([]float32, m*n)
		GemmFP8(m, n, k, rows, panels, whole, n, false)
		for _, count := range []int{1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 29, 99, 193, 197} {
			i := rng.IntN(m - count)
			c := make([]float32, count*n)
			GemmFP8(count, n, k, rows[i*step:], panels, c, n, false)
			sameBits(t, fmt.Sprintf("rows %d to %d alone", i, i+count), c, whole[i*n:][:count*n])
		}
	})
}

func TestGemmFP8HasTheSameBitsHoweverItIsSplit(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n, blocks = 31, 700, 211, 6
		a, b := random(rng, m*k), random(rng, k*n)
		operands := func(p0, p1 int) (rows, panels []byte) {
			kb := p1 - p0
			rows, panels = make([]byte, RowsBytesFP8(m, kb)), make([]byte, packedBytesFP8(kb, n))
			if kb > 0 {
				RowsFP8(rows, a[p0:], m, kb, k, 1)
				PackFP8(panels, b[p0*n:], kb, n, n, 1)
			}
			return rows, panels
		}
		rows, panels := operands(0, k)
		start := random(rng, m*n)
		want := clone32(start)
		GemmFP8(m, n, k, rows, panels, want, n, true)
		for range 10 {
			i := rng.IntN(m + 1)
			j := rng.IntN(n/PanelWidth+1) * PanelWidth
			p := rng.IntN(blocks) * FP8Block
			got := clone32(start)
			GemmFP8(i, n, k, rows, panels, got, n, true)
			GemmFP8(m-i, n, k, rows[i*RowsBytesFP8(1, k):], panels, got[i*n:], n, true)
			sameBits(t, fmt.Sprintf("rows split at %d", i), got, want)

			got = clone32(start)
			GemmFP8(m, j, k, rows, panels, got, n, true)
			GemmFP8(m, n-j, k, rows, panels[j/PanelWidth*PanelBytesFP8(k):], got[j:], n, true)
			sameBits(t, fmt.Sprintf("columns split at %d", j), got, want)

			got = clone32(start)
			left, leftPanels := operands(0, p)
			right, rightPanels := operands(p, k)
			GemmFP8(m, n, p, left, leftPanels, got, n, true)
			GemmFP8(m, n, k-p, right, rightPanels, got, n, true)
			sameBits(t, fmt.Sprintf("k split at %d", p), got, want)
		}
	})
}

func TestGemmFP8HasTheSameBitsAtEveryAddress(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k, n = 140, 101
		for _, m := range []int{3, 17} {
			rows, panels := randomFP8(rng, m, n, k)
			want := make([]float32, m*n)
			GemmFP8(m, n, k, rows, panels, want, n, false)
			for shift := 0; shift < 66; shift += 2 {
				shifted := func(x []byte) []byte {
					return append(make([]byte, shift, shift+len(x)), x...)[shift:]
				}
				got := make([]float32, shift+m*n)[shift:]
				GemmFP8(m, n, k, shifted(rows), shifted(panels), got, n, false)
				sameBits(t, fmt.Sprintf("shifted by %d", shift), got, want)
			}
		}
	})
}

func TestGemmFP8KeepsNaNInItsRowAndColumn(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k, n = 300, 85
		for _, m := range []int{3, 14} {
			for _, bad := range notFinite {
				a, b := random(rng, m*k), random(rng, k*n)
				a[2*k+133] = bad
				b[7*n+18], b[130*n+7], b[299*n+84] = bad, bad, bad
				rows, panels := make([]byte, RowsBytesFP8(m, k)), make([]byte, packedBytesFP8(k, n))
				c := make([]float32, m*n)
				RowsFP8(rows, a, m, k, k, 1)
				PackFP8(panels, b, k, n, n, 1)
				GemmFP8(m, n, k, rows, panels, c, n, false)
				for i, x := range c {
					row, col := i/n, i%n
					want := row == 2 || col == 18 || col == 7 || col == 84
					if math.IsNaN(float64(x)) != want || math.IsInf(float64(x), 0) {
						t.Errorf("%g, M=%d: C[%d,%d] is %g", bad, m, row, col, x)
					}
				}
			}
		}
	})
}

func TestFP8KernelsAllocateNothingInTheSteadyState(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const m, n, k = 20, 83, 300
		rng := newRand(t)
		rows, panels := randomFP8(rng, m, n, k)
		a, b, c := random(rng, m*k), random(rng, k*n), make([]float32, m*n)
		codes, scales := make([]byte, k*n), random(rng, 3)
		for name, run := range map[string]func(){
			"RowsFP8":            func() { RowsFP8(rows, a, m, k, k, 1) },
			"RowsFP8 of columns": func() { RowsFP8(rows, a, m, k, 1, m) },
			"PackFP8":            func() { PackFP8(panels, b, k, n, n, 1) },
			"PackFP8Bits":        func() { PackFP8Bits(panels, codes, scales, k, n, 1, k, 1, 1) },
			"GemmFP8":            func() { GemmFP8(m, n, k, rows, panels, c, n, false) },
			"GemmFP8 of one row": func() { GemmFP8(1, n, k, rows, panels, c, n, false) },
		} {
			if got := testing.AllocsPerRun(10, run); got != 0 {
				t.Errorf("%s: %g allocations, want 0", name, got)
			}
		}
	})
}

func TestFP8KernelsNameTheSliceThatIsTooShort(t *testing.T) {
	f := func(n int) []float32 { return make([]float32, n) }
	b := func(n int) []byte { return make([]byte, n) }
	// A row of three numbers takes 192 bytes, a panel 128 bytes.
	for want, call := range map[string]func(){
		"RowsFP8: dst has 383 elements, needs 384":      func() { RowsFP8(b(383), f(6), 2, 3, 3, 1) },
		"RowsFP8: a has 5 elements, needs 6":            func() { RowsFP8(b(384), f(5), 2, 3, 3, 1) },
		"PackFP8: dst has 127 elements, needs 128":      func() { PackFP8(b(127), f(9), 3, 3, 3, 1) },
		"PackFP8: b has 8 elements, needs 9":            func() { PackFP8(b(128), f(8), 3, 3, 3, 1) },
		"PackFP8Bits: dst has 127 elements, needs 128":  func() { PackFP8Bits(b(127), b(9), f(1), 3, 3, 3, 1, 1, 1) },
		"PackFP8Bits: b has 8 elements, needs 9":        func() { PackFP8Bits(b(128), b(8), f(1), 3, 3, 1, 3, 1, 1) },
		"PackFP8Bits: scale has 0 elements, needs 1":    func() { PackFP8Bits(b(128), b(9), f(0), 3, 3, 1, 3, 1, 1) },
		"UnpackFP8: panels has 127 elements, needs 128": func() { UnpackFP8(f(9), b(127), 3, 0, 3, 3, 1) },
		"UnpackFP8: dst has 8 elements, needs 9":        func() { UnpackFP8(f(8), b(128), 3, 0, 3, 3, 1) },
		"GemmFP8: rows has 383 elements, needs 384":     func() { GemmFP8(2, 3, 3, b(383), b(128), f(6), 3, false) },
		"GemmFP8: panels has 127 elements, needs 128":   func() { GemmFP8(2, 3, 3, b(384), b(127), f(6), 3, false) },
		"GemmFP8: c has 5 elements, needs 6":            func() { GemmFP8(2, 3, 3, b(384), b(128), f(5), 3, false) },
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
