package asm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// quantFormats are the formats of weights.
var quantFormats = []struct {
	name        string
	packedBytes func(k, n int) int
	panelBytes  func(k int) int
	pack        func(dst []byte, b []float32, k, n, rs, cs int)
	unpack      func(dst []float32, src []byte, k, first, n, rs, cs int)
	gemm        func(m, n, k int, rows, bp []byte, c []float32, ldc int, accumulate bool)
}{
	{"Q8", PackedBytesQ8, PanelBytesQ8, PackQ8, UnpackQ8, GemmQ8},
	{"Q4", PackedBytesQ4, PanelBytesQ4, PackQ4, UnpackQ4, GemmQ4},
	{"Q4_1", PackedBytesQ4_1, PanelBytesQ4_1, PackQ4_1, UnpackQ4_1, GemmQ4_1},
}

// bytesAtEndOfPage returns n bytes, a multiple of four, that end at the end of
// readable memory.
func bytesAtEndOfPage(t testing.TB, n int) []byte {
	t.Helper()
	x := endOfPage(t, n/4)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), n)
}

// rowsOf quantises A, M×K in row-major order.
func rowsOf(a []float32, m, k int) []byte {
	rows := make([]byte, RowsBytesQ8(m, k))
	RowsQ8(rows, a, m, k, k, 1)
	return rows
}

// valueQ8 decodes element (i,p) of quantised rows, as documented, to its
// integer and the scale of its block.
func valueQ8(rows []byte, k, i, p int) (q, scale float64) {
	block := rows[i*RowsBytesQ8(1, k)+p/32*40:]
	return float64(int8(block[p%32])), float64(math.Float32frombits(binary.LittleEndian.Uint32(block[32:])))
}

func TestGemmQuantMatchesFloat64Definition(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, f := range quantFormats {
			for _, m := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 13} {
				for _, n := range []int{0, 1, 16, 17, 32, 33, 71} {
					for _, k := range []int{0, 1, 32, 33, 200} {
						rows, bp := bytesAtEndOfPage(t, RowsBytesQ8(m, k)), bytesAtEndOfPage(t, f.packedBytes(k, n))
						RowsQ8(rows, random(rng, m*k), m, k, k, 1)
						f.pack(bp, random(rng, k*n), k, n, n, 1)
						w := make([]float32, k*n)
						f.unpack(w, bp, k, 0, n, n, 1)
						for _, accumulate := range []bool{false, true} {
							what := fmt.Sprintf("%s %dx%dx%d accumulate %t", f.name, m, n, k, accumulate)
							ldc := n + 3
							c := poisoned(endOfPage(t, extent(m, n, ldc, 1)))
							start := random(rng, m*n)
							if accumulate {
								for i := 0; i < m && n > 0; i++ {
									copy(c[i*ldc:], start[i*n:][:n])
								}
							}
							f.gemm(m, n, k, rows, bp, c, ldc, accumulate)
							for i := range c {
								if i%ldc >= n && !isPoison(c[i]) {
									t.Fatalf("%s: wrote column %d", what, i%ldc)
								}
							}
							for check := range min(m*n, 30) {
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
									q, scale := valueQ8(rows, k, i, p)
									x := q * scale * float64(w[p*n+j])
									want += x
									size += math.Abs(x)
								}
								// Each block's product is rounded twice, and
								// each sum and the unpacked weights once.
								bound := float64(k/32+4) * 2 * eps32 * size
								near(t, fmt.Sprintf("%s: C[%d,%d]", what, i, j), c[i*ldc+j], want, bound)
							}
						}
					}
				}
			}
		}
	})
}

// A single block without rounding: with activations of 127 and scales that are
// powers of two, every product is exact.
func TestGemmQuantSumsOfABlockAreExact(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, f := range quantFormats {
			largest := 127
			if f.name != "Q8" {
				largest = 8
			}
			for trial := range 10 {
				extreme, m := trial%2 == 1, []int{1, 2, 3, 4, 7}[trial/2]
				const n = 40
				a, b := make([]float32, m*32), make([]float32, 32*n)
				for i := range a {
					a[i] = float32(rng.IntN(255) - 127)
					if extreme || i%32 == 0 {
						a[i] = []float32{-127, 127}[rng.IntN(2)]
					}
				}
				for i := range b {
					b[i] = float32(rng.IntN(2*largest) - largest)
					if extreme || i < n {
						b[i] = -float32(largest)
					} else if i < 2*n && f.name == "Q4_1" {
						b[i] = 7 // 15 above the minimum
					}
				}
				bp := make([]byte, f.packedBytes(32, n))
				f.pack(bp, b, 32, n, n, 1)
				c := make([]float32, m*n)
				f.gemm(m, n, 32, rowsOf(a, m, 32), bp, c, n, false)
				for i := range m {
					for j := range n {
						want := 0
						for p := range 32 {
							want += int(a[i*32+p]) * int(b[p*n+j])
						}
						if c[i*n+j] != float32(want) {
							t.Fatalf("%s, %d rows: C[%d,%d] is %g, want %d", f.name, m, i, j, c[i*n+j], want)
						}
					}
				}
			}
		}
	})
}

func TestGemmQuantHasTheSameBitsForEveryMAndSplit(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, k := range []int{200, 3000} { // 1 to 4 short rows have kernels of their own
			checkQuantBits(t, rng, k)
		}
	})
}

func checkQuantBits(t *testing.T, rng *rand.Rand, k int) {
	t.Helper()
	const m, n = 150, 51 // more rows than a block of rows
	a, b := random(rng, m*k), random(rng, k*n)
	rows := rowsOf(a, m, k)
	rowBytes := RowsBytesQ8(1, k)
	for _, f := range quantFormats {
		bp := make([]byte, f.packedBytes(k, n))
		f.pack(bp, b, k, n, n, 1)
		start := random(rng, m*n)
		whole := clone32(start)
		f.gemm(m, n, k, rows, bp, whole, n, true)
		for _, mb := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 17} {
			i := rng.IntN(m - mb)
			c := clone32(start[i*n:][:mb*n])
			f.gemm(mb, n, k, rowsOf(a[i*k:], mb, k), bp, c, n, true)
			sameBits(t, fmt.Sprintf("%s k=%d: rows %d to %d alone", f.name, k, i, i+mb), c, whole[i*n:][:mb*n])
		}
		for range 3 {
			i, j := rng.IntN(m+1), rng.IntN(n/PanelWidth+1)*PanelWidth
			got := clone32(start)
			f.gemm(i, n, k, rows, bp, got, n, true)
			f.gemm(m-i, n, k, rows[i*rowBytes:], bp, got[i*n:], n, true)
			sameBits(t, fmt.Sprintf("%s k=%d: rows split at %d", f.name, k, i), got, whole)
			got = clone32(start)
			f.gemm(m, j, k, rows, bp, got, n, true)
			f.gemm(m, n-j, k, rows, bp[j/PanelWidth*f.panelBytes(k):], got[j:], n, true)
			sameBits(t, fmt.Sprintf("%s k=%d: columns split at %d", f.name, k, j), got, whole)
		}
		for _, mb := range []int{3, 9} {
			for shift := range 3 {
				got := clone32(start[:mb*n])
				shifted := func(x []byte) []byte { return append(make([]byte, shift, shift+len(x)), x...)[shift:] }
				f.gemm(mb, n, k, shifted(rows), shifted(bp), got, n, true)
				sameBits(t, fmt.Sprintf("%s k=%d: %d rows, %d bytes further", f.name, k, mb, shift), got, whole[:mb*n])
			}
		}
	}
}

// clone32 returns a copy of x.
func clone32(x []float32) []float32 { return append([]float32(nil), x...) }

// All paths with fused multiply-adds compute the same chain of the same
// integers. For Q4_1 the portable path does too.
func TestGemmQuantAgreesAcrossPaths(t *testing.T) {
	rng := newRand(t)
	const m, k, n = 9, 300, 50
	a, b := random(rng, m*k), random(rng, k*n)
	want := make([][]float32, len(quantFormats)) // 9 rows, then 3 alone
	eachPath(t, func(t *testing.T) {
		for i, f := range quantFormats {
			if Path() == pathPortable && f.name != "Q4_1" {
				continue // the portable path rounds each product before it adds it
			}
			bp, c := make([]byte, f.packedBytes(k, n)), make([]float32, (m+3)*n)
			f.pack(bp, b, k, n, n, 1)
			f.gemm(m, n, k, rowsOf(a, m, k), bp, c, n, false)
			f.gemm(3, n, k, rowsOf(a, 3, k), bp, c[m*n:], n, false)
			if want[i] == nil {
				want[i] = c
			}
			sameBits(t, f.name, c, want[i])
		}
	})
}

func TestGemmQuantKeepsNaNInItsRowAndColumn(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		const m, k, n = 14, 70, 53
		for _, f := range quantFormats {
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				a, b := random(rng, m*k), random(rng, k*n)
				a[4*k+33] = bad
				b[7*n+18], b[69*n+52] = bad, bad
				bp, c := make([]byte, f.packedBytes(k, n)), make([]float32, m*n)
				f.pack(bp, b, k, n, n, 1)
				f.gemm(m, n, k, rowsOf(a, m, k), bp, c, n, false)
				for i, x := range c {
					row, col := i/n, i%n
					if math.IsNaN(float64(x)) != (row == 4 || col == 18 || col == 52) {
						t.Errorf("%s, %g: C[%d,%d] is %g", f.name, bad, row, col, x)
					}
				}
			}
		}
	})
}

func TestGemmQuantDoesNotAllocate(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const m, k, n = 7, 65, 50
		a, rows, c := make([]float32, m*k), make([]byte, RowsBytesQ8(m, k)), make([]float32, m*n)
		for _, f := range quantFormats {
			bp := make([]byte, f.packedBytes(k, n))
			if allocs := testing.AllocsPerRun(10, func() {
				RowsQ8(rows, a, m, k, k, 1)
				f.gemm(m, n, k, rows, bp, c, n, false)
			}); allocs != 0 {
				t.Errorf("%s: %g allocations", f.name, allocs)
			}
		}
	})
}

// weightsWithExtremes returns weights that quantising must handle, in columns
// of one matrix: ordinary, tiny and huge numbers, zeros, and numbers that are
// not finite.
func weightsWithExtremes(rng *rand.Rand, k, n int) []float32 {
	b := random(rng, k*n)
	for j := range n {
		scale := []float32{1, 1e-3, 1e-5, 3e-6, 1e-7, 1e-12, 1e-42, 0, 1e5, 2e6, 1e30, 3e38}[j%12]
		for p := range k {
			b[p*n+j] *= scale
		}
		if j%17 == 3 {
			b[rng.IntN(k)*n+j] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[rng.IntN(3)]
		}
	}
	return b
}

func TestQuantisingGivesTheSameBitsOnEveryPathAndSplit(t *testing.T) {
	rng := newRand(t)
	const m, k, n = 50, 100, 200
	b := weightsWithExtremes(rng, k, n)
	a := weightsWithExtremes(rng, m, k) // rows of mixed magnitudes
	whole := make([][]byte, len(quantFormats)+1)
	eachPath(t, func(t *testing.T) {
		check := func(what string, i int, got []byte) {
			t.Helper()
			if whole[i] == nil {
				whole[i] = got
			}
			if !bytes.Equal(got, whole[i]) {
				t.Fatalf("%s: bytes differ", what)
			}
		}
		for i, f := range quantFormats {
			bp := make([]byte, f.packedBytes(k, n))
			f.pack(bp, b, k, n, n, 1)
			check(f.name, i, bp)

			bt := make([]float32, n*k)
			for p := range k {
				for j := range n {
					bt[j*k+p] = b[p*n+j]
				}
			}
			bp = make([]byte, f.packedBytes(k, n))
			const cut = 48
			f.pack(bp, bt, k, cut, 1, k)
			f.pack(bp[cut/PanelWidth*f.panelBytes(k):], bt[cut*k:], k, n-cut, 1, k)
			check(f.name+" transposed, in two parts", i, bp)
		}
		rows := rowsOf(a, m, k)
		check("rows", len(quantFormats), rows)
		for i := range m {
			check("row alone", len(quantFormats), append(append(bytes.Clone(rows[:i*RowsBytesQ8(1, k)]), rowsOf(a[i*k:], 1,
				k)...), rows[(i+1)*RowsBytesQ8(1, k):]...))
		}
		at := make([]float32, k*m)
		for i := range m {
			for p := range k {
				at[p*m+i] = a[i*k+p]
			}
		}
		rows = make([]byte, RowsBytesQ8(m, k))
		RowsQ8(rows, at, m, k, 1, m)
		check("transposed rows", len(quantFormats), rows)
	})
}

func TestRowsQ8RoundsEachBlock(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, k := range []int{1, 31, 32, 33, 100} {
			for _, scale := range []float32{1, 1e-20, 1e-36, 1e-37, 0, 1e38} {
				const m = 5
				a := random(rng, m*k)
				for i := range a {
					a[i] = float32(max(-3, min(3, a[i])) * scale)
				}
				rows := bytesAtEndOfPage(t, RowsBytesQ8(m, k))
				RowsQ8(rows, a, m, k, k, 1)
				for i := range m {
					for p0 := 0; p0 < k; p0 += 32 {
						block := a[i*k+p0 : i*k+min(k, p0+32)]
						largest, sum := 0.0, int32(0)
						for _, x := range block {
							largest = max(largest, math.Abs(float64(x)))
						}
						if largest < 0x1p-120 {
							largest = 0
						}
						for p := range block {
							q, s := valueQ8(rows, k, i, p0+p)
							if want := float64(float32(largest) / 127); s != want {
								t.Fatalf("k=%d: scale %g, want %g", k, s, want)
							}
							sum += int32(q)
							if largest == 0 {
								if q != 0 {
									t.Fatalf("k=%d: zero became %g", k, q)
								}
							} else if exact := float64(block[p]) * 127 / largest; math.Abs(q-exact) > 0.5+1e-4 {
								t.Fatalf("k=%d: %g became %g", k, exact, q)
							}
						}
						stored := int32(binary.LittleEndian.Uint32(rows[i*RowsBytesQ8(1, k)+p0/32*40+36:]))
						if stored != -128*sum {
							t.Fatalf("k=%d: sum %d, want %d", k, stored, -128*sum)
						}
					}
				}
			}
		}
	})
}

// ggmlQ8, ggmlQ4 and ggmlQ4_1 are GGML's quantize_row_q8_0_ref,
// quantize_row_q4_0_ref and quantize_row_q4_1_ref followed by their inverses,
// for one block.
func ggmlQ8(x []float32) []float64 {
	var largest float32
	for _, v := range x {
		largest = max(largest, float32(math.Abs(float64(v))))
	}
	d := largest / 127
	id := float32(0)
	if d != 0 {
		id = 1 / d
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = math.Round(float64(float32(v*id))) * float64(fromF16(toF16(d)))
	}
	return out
}

func ggmlQ4(x []float32) []float64 {
	var size, largest float32
	for _, v := range x {
		if a := float32(math.Abs(float64(v))); a > size {
			size, largest = a, v
		}
	}
	d := largest / -8
	id := float32(0)
	if d != 0 {
		id = 1 / d
	}
	out := make([]float64, len(x))
	for i, v := range x {
		q := min(15, int(float32(v*id)+8.5))
		out[i] = float64(q-8) * float64(fromF16(toF16(d)))
	}
	return out
}

func ggmlQ4_1(x []float32) []float64 {
	least, most := slices.Min(x), slices.Max(x)
	d := (most - least) / 15
	id := float32(0)
	if d != 0 {
		id = 1 / d
	}
	out := make([]float64, len(x))
	for i, v := range x {
		q := min(15, int(float32(float32(v-least)*id)+0.5))
		out[i] = float64(float32(float32(q)*fromF16(toF16(d))) + fromF16(toF16(least)))
	}
	return out
}

// The bounds are those measured on normally distributed weights, with a margin
// for other seeds.
func TestQuantisedWeightsAreNoWorseThanGGML(t *testing.T) {
	rng := newRand(t)
	const k, n = 256, 256
	for _, scale := range []float32{1, 0.02, 1e-4} {
		b := random(rng, k*n)
		for i := range b {
			b[i] *= scale
		}
		for i, f := range quantFormats {
			reference := []func([]float32) []float64{ggmlQ8, ggmlQ4, ggmlQ4_1}[i]
			bp, w := make([]byte, f.packedBytes(k, n)), make([]float32, k*n)
			f.pack(bp, b, k, n, 1, k)
			f.unpack(w, bp, k, 0, n, 1, k)
			var ours, theirs, size float64
			for p := 0; p < len(b); p += 32 {
				for q, want := range reference(b[p:][:32]) {
					x := float64(b[p+q])
					size += x * x
					theirs += (want - x) * (want - x)
					ours += (float64(w[p+q]) - x) * (float64(w[p+q]) - x)
				}
			}
			t.Logf("%s, weights of %g: relative RMSE %.6f, GGML %.6f", f.name, scale, math.Sqrt(ours/size),
				math.Sqrt(theirs/size))
			most := []float64{1.0001, 0.96, 1}[i]
			if ours > most*most*theirs {
				t.Errorf("%s, weights of %g: RMSE is %.4f times GGML's", f.name, scale, math.Sqrt(ours/theirs))
			}
		}
	}
}
