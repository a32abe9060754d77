package asm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// matrix is a strided operand whose backing slice ends at its last element.
type matrix struct {
	data   []float32
	rs, cs int
}

func (m matrix) at(i, j int) float32 { return m.data[i*m.rs+j*m.cs] }

// layouts returns rows×cols operands in every layout for which kernels differ.
func layouts(t *testing.T, rng *rand.Rand, rows, cols int) map[string]matrix {
	ms := map[string]matrix{
		"rows":          {rs: cols, cs: 1},
		"padded rows":   {rs: cols + 3, cs: 1},
		"transposed":    {rs: 1, cs: rows},
		"padded trans":  {rs: 1, cs: rows + 5},
		"far columns":   {rs: 1, cs: rows + 1031},
		"scattered":     {rs: 2*cols + 1, cs: 2},
		"rows of 4 KiB": {rs: (cols + 1023) &^ 1023, cs: 1},
		"same row":      {rs: 0, cs: 1},
	}
	for name, m := range ms {
		m.data = fill(rng, endOfPage(t, extent(rows, cols, m.rs, m.cs)))
		ms[name] = m
	}
	return ms
}

func TestPackBPlacesEveryElement(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, k := range []int{0, 1, 3, 4, 5, 8, 15, 16, 31, 33} {
			for _, n := range []int{0, 1, 7, 12, 15, 16, 17, 32, 50, 64, 150} {
				for name, b := range layouts(t, rng, k, n) {
					dst := poisoned(endOfPage(t, PackedSize(k, n)))
					PackB(dst, b.data, k, n, b.rs, b.cs)
					for i, got := range dst {
						panel, p, j := i/(PanelWidth*k), i/PanelWidth%k, i%PanelWidth
						want := float32(0)
						if col := panel*PanelWidth + j; col < n {
							want = b.at(p, col)
						}
						if got != want {
							t.Fatalf("k=%d n=%d %s: dst[%d] is %g, want %g", k, n, name, i, got, want)
						}
					}
				}
			}
		}
	})
}

// packed packs B, K×N in row-major order.
func packed(b []float32, k, n int) []float32 {
	bp := make([]float32, PackedSize(k, n))
	PackB(bp, b, k, n, n, 1)
	return bp
}

func TestGemmMatchesFloat64Definition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, m := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 191, 195} {
			for _, n := range []int{0, 1, 15, 16, 17, 64, 71} {
				for _, k := range []int{0, 1, 2, 9, blockK + 1} {
					b := random(rng, k*n)
					bp := packed(b, k, n)
					for name, a := range layouts(t, rng, m, k) {
						for _, accumulate := range []bool{false, true} {
							checkGemm(t, fmt.Sprintf("%dx%dx%d A %s accumulate %t", m, n, k, name, accumulate), rng, m, n, k, a, b, bp,
								accumulate)
						}
					}
				}
			}
		}
	})
}

func checkGemm(t *testing.T, what string, rng *rand.Rand, m, n, k int, a matrix, b, bp []float32, accumulate bool) {
	t.Helper()
	ldc := n + 3
	c := poisoned(endOfPage(t, extent(m, n, ldc, 1)))
	start := random(rng, m*n)
	if accumulate {
		for i := 0; i < m && n > 0; i++ {
			copy(c[i*ldc:], start[i*n:][:n])
		}
	}
	GemmPacked(m, n, k, a.data, a.rs, a.cs, bp, c, ldc, accumulate)
	for i := range c {
		if i%ldc >= n && !isPoison(c[i]) {
			t.Fatalf("%s: wrote column %d", what, i%ldc)
		}
	}
	// Computing whole products in float64 is slow, so check the corners and
	// some elements.
	for check := range min(m*n, 40) {
		i, j := rng.IntN(m), rng.IntN(n)
		if check == 0 {
			i, j = m-1, n-1
		}
		var want, size float64
		if accumulate {
			want = float64(start[i*n+j])
			size = math.Abs(want)
		}
		for p := range k {
			x := float64(a.at(i, p)) * float64(b[p*n+j])
			want += x
			size += math.Abs(x)
		}
		near(t, fmt.Sprintf("%s: C[%d,%d]", what, i, j), c[i*ldc+j], want, float64(k+1)*eps32*size)
	}
}

func TestGemmRowHasTheSameBitsForEveryM(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k, n = blockK + 60, 275
		a, b := random(rng, 1000*k), random(rng, k*n)
		bp := packed(b, k, n)
		whole := make([]float32, 1000*n)
		GemmPacked(1000, n, k, a, k, 1, bp, whole, n, false)
		for _, m := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 193} {
			i := rng.IntN(1000 - m)
			c := make([]float32, m*n)
			GemmPacked(m, n, k, a[i*k:], k, 1, bp, c, n, false)
			sameBits(t, fmt.Sprintf("rows %d to %d alone", i, i+m), c, whole[i*n:][:m*n])
		}
		// Kernels treat an A stored by columns differently if the columns are
		// far apart.
		for _, acs := range []int{1000, 1100} {
			at := make([]float32, k*acs)
			for i := range 1000 {
				for p := range k {
					at[p*acs+i] = a[i*k+p]
				}
			}
			for _, m := range []int{1, 7, 8, 20, 1000} {
				c := make([]float32, m*n)
				GemmPacked(m, n, k, at, 1, acs, bp, c, n, false)
				sameBits(t, fmt.Sprintf("%d rows of A by columns %d apart", m, acs), c, whole[:m*n])
			}
		}
	})
}

// Kernels compute several rows of several panels at a time. Cover every number
// of rows and panels.
func TestGemmComputesEveryTile(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const k = 5
		for m := 1; m <= 29; m++ {
			for n := 1; n <= 4*PanelWidth+3; n++ {
				a := matrix{data: fill(rng, endOfPage(t, m*k)), rs: k, cs: 1}
				b := random(rng, k*n)
				bp := fill(rng, endOfPage(t, PackedSize(k, n)))
				PackB(bp, b, k, n, n, 1)
				checkGemm(t, fmt.Sprintf("%dx%dx%d", m, n, k), rng, m, n, k, a, b, bp, m%2 == 0)
			}
		}
	})
}

func TestFusedPathsHaveTheSameGemmBits(t *testing.T) {
	rng := newRand(t)
	const m, k, n = 27, 2500, 301
	a, b := random(rng, m*k), random(rng, k*n)
	bp := packed(b, k, n)
	start := random(rng, m*n)
	var want []float32
	eachPath(t, func(t *testing.T) {
		if path == pathPortable {
			t.Skip("the portable path rounds each product")
		}
		got := slices.Clone(start)
		GemmPacked(m, n, k, a, k, 1, bp, got, n, true)
		if want == nil {
			want = got
		}
		sameBits(t, "the product", got, want)
	})
}

func TestGemmDoesNotAllocate(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const m, k, n = 20, 40, 70
		a, bp, c := make([]float32, m*k), make([]float32, PackedSize(k, n)), make([]float32, m*n)
		if got := testing.AllocsPerRun(20, func() { GemmPacked(m, n, k, a, k, 1, bp, c, n, false) }); got != 0 {
			t.Errorf("%g allocations", got)
		}
	})
}

func TestGemmHasTheSameBitsHoweverItIsSplit(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 61, 2*blockK + 30, 83
		a, b := random(rng, m*k), random(rng, k*n)
		bp := packed(b, k, n)
		want := make([]float32, m*n)
		GemmPacked(m, n, k, a, k, 1, bp, want, n, false)

		for range 10 {
			i, j, p := rng.IntN(m+1), rng.IntN(n/PanelWidth+1)*PanelWidth, rng.IntN(k+1)
			got := make([]float32, m*n)
			GemmPacked(i, n, k, a, k, 1, bp, got, n, false)
			GemmPacked(m-i, n, k, a[i*k:], k, 1, bp, got[i*n:], n, false)
			sameBits(t, fmt.Sprintf("rows split at %d", i), got, want)

			got = make([]float32, m*n)
			GemmPacked(m, j, k, a, k, 1, bp, got, n, false)
			GemmPacked(m, n-j, k, a, k, 1, bp[j*k:], got[j:], n, false)
			sameBits(t, fmt.Sprintf("columns split at %d", j), got, want)

			got = make([]float32, m*n)
			GemmPacked(m, n, p, a, k, 1, packed(b, p, n), got, n, false)
			if p < k {
				GemmPacked(m, n, k-p, a[p:], k, 1, packed(b[p*n:], k-p, n), got, n, true)
			}
			sameBits(t, fmt.Sprintf("k split at %d", p), got, want)

			got = make([]float32, m*n)
			GemmPart(m, n, p, a, k, 1, bp, k*PanelWidth, got, n, false)
			if p < k {
				GemmPart(m, n, k-p, a[p:], k, 1, bp[p*PanelWidth:], k*PanelWidth, got, n, true)
			}
			sameBits(t, fmt.Sprintf("panels split at %d", p), got, want)
		}
	})
}

func TestGemmHasTheSameBitsAtEveryAddress(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 9, 40, 37
		a, b := random(rng, m*k), random(rng, k*n)
		want := make([]float32, m*n)
		GemmPacked(m, n, k, a, k, 1, packed(b, k, n), want, n, false)
		for shift := range 17 {
			shifted := func(x []float32) []float32 {
				return append(make([]float32, shift, shift+len(x)), x...)[shift:]
			}
			got := shifted(make([]float32, m*n))
			GemmPacked(m, n, k, shifted(a), k, 1, shifted(packed(b, k, n)), got, n, false)
			sameBits(t, fmt.Sprintf("shifted by %d", shift), got, want)
		}
	})
}

func TestGemmKeepsNaNInItsRowAndColumn(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 14, 20, 21
		a, b := random(rng, m*k), random(rng, k*n)
		a[4*k+3] = float32(math.NaN())
		b[7*n+18] = float32(math.Inf(1))
		c := make([]float32, m*n)
		GemmPacked(m, n, k, a, k, 1, packed(b, k, n), c, n, false)
		for i, x := range c {
			finite := !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0)
			if row, col := i/n, i%n; finite != (row != 4 && col != 18) {
				t.Errorf("C[%d,%d] is %g", row, col, x)
			}
		}
	})
}
