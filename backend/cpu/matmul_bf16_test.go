package cpu

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// halves16 returns n normal numbers in BF16 and the same numbers in F32.
func halves16(rng *rand.Rand, n int) (half []uint16, whole []float32) {
	whole = normals[float32](rng, n)
	half = rounded16(whole)
	asm.FromBF16(whole, half)
	return half, whole
}

func rounded16(x []float32) []uint16 {
	half := make([]uint16, len(x))
	asm.ToBF16(half, x)
	return half
}

// product16 is a product whose operands are BF16 or F32: halfA, halfB and halfC
// say which are BF16.
type product16 struct {
	m, n, k                   int
	a16, w16, c16             []uint16
	a, w, c0                  []float32
	format                    backend.Format
	accumulate                bool
	halfA, halfB, halfC       bool
	layoutA, layoutB, layoutC string
}

// check compares the product with the F32 result want, rounded if C is BF16.
func (p *product16) check(t *testing.T, b *CPU, want []float32) {
	t.Helper()
	name := fmt.Sprintf("%+v", struct {
		m, n, k                   int
		format                    backend.Format
		accumulate, a, b, c       bool
		layoutA, layoutB, layoutC string
		workers                   int
	}{p.m, p.n, p.k, p.format, p.accumulate, p.halfA, p.halfB, p.halfC, p.layoutA, p.layoutB, p.layoutC,
		len(b.pool.workers)})
	op := &backend.MatMul{Accumulate: p.accumulate}
	op.A = strewEither(b, p.halfA, p.a16, p.a, p.m, p.k, p.layoutA)
	op.C = strewEither(b, p.halfC, p.c16, p.c0, p.m, p.n, p.layoutC)
	switch {
	case p.layoutB != "packed":
		op.B = backend.Matrix{Data: strewEither(b, p.halfB, p.w16, p.w, p.k, p.n, p.layoutB), Format: p.format}
	case p.format == backend.Native:
		op.B = packed(t, b, filled(b, p.w, p.k, p.n))
	default:
		op.B = packedAs(t, b, p.format, strewEither(b, p.halfB, p.w16, p.w, p.k, p.n, "rows"))
	}
	do(t, b, op)
	if !p.halfC {
		sameBits(t, name, content[float32](op.C), want)
	} else if got := content[uint16](op.C); !slices.Equal(got, rounded16(want)) {
		t.Fatalf("%s: differs from the product in F32, rounded", name)
	}
}

func strewEither(b *CPU, half bool, x16 []uint16, x []float32, m, n int, layout string) backend.View {
	if half {
		return strew(b, x16, m, n, layout)
	}
	return strew(b, x, m, n, layout)
}

// Each product with BF16 operands has the bits of the product of the same
// numbers in F32, rounded once if C is BF16. So what the tests of F32 show for
// rows, batches, threads and layouts holds for BF16 too.
func TestBF16ProductsAreThoseOfF32RoundedOnce(t *testing.T) {
	rng := newRand(t)
	for _, s := range [][3]int{
		{1, 70, 33}, {7, 17, 16}, {20, 65, 401}, {60, 300, 9}, {3, 4, 0}, {400, 70, 450}, {1, 300, 4100}, {350, 70, 4100},
		{30, 20, 2500},
	} {
		p := product16{m: s[0], n: s[1], k: s[2]}
		p.a16, p.a = halves16(rng, p.m*p.k)
		p.w16, p.w = halves16(rng, p.k*p.n)
		p.c16, p.c0 = halves16(rng, p.m*p.n)
		for _, p.format = range backend.Formats() {
			large := p.m*p.n*p.k > 1e7
			if large && p.format != backend.Native {
				continue // only Native splits K
			}
			for _, p.accumulate = range []bool{false, true} {
				b := withWorkers(t, 1)
				whole := &backend.MatMul{C: filled(b, p.c0, p.m, p.n), A: filled(b, p.a, p.m, p.k), Accumulate: p.accumulate}
				whole.B = packedAsAny(t, b, p.format, filled(b, p.w, p.k, p.n))
				do(t, b, whole)
				want := content[float32](whole.C)
				for kind := range 8 {
					if large && kind != 5 && kind != 7 {
						continue
					}
					p.halfA, p.halfB, p.halfC = kind&1 > 0, kind&2 > 0, kind&4 > 0
					b := withWorkers(t, 1+rng.IntN(3))
					p.layoutA, p.layoutC = layouts[rng.IntN(4)], layouts[rng.IntN(4)]
					p.layoutB = "packed"
					p.check(t, b, want)
					p.layoutB = layouts[rng.IntN(4)]
					p.check(t, b, want)
				}
			}
		}
	}
}

func packedAsAny(t testing.TB, b *CPU, f backend.Format, src backend.View) backend.Matrix {
	if f == backend.Native {
		return packed(t, b, src)
	}
	return packedAs(t, b, f, src)
}

func TestBF16GroupedProductsAreThoseOfF32RoundedOnce(t *testing.T) {
	rng := newRand(t)
	const e, m, k, n = 4, 400, 250, 70
	groups := []int32{0, 3, 3, 390, 395} // all groups but one are small, and the last rows are in no group
	x16, x := halves16(rng, m*k)
	w16, w := halves16(rng, e*k*n)
	y16, y := halves16(rng, m*n)
	start := normals[float32](rng, e*k*n)
	for _, workers := range []int{1, 3} {
		b := withWorkers(t, workers)
		offsets := filled(b, groups, e+1)
		for _, f := range []backend.Format{backend.Native, backend.BFloat16} {
			want, got := filled(b, y, m, n), filled(b, y16, m, n)
			matrix, matrix16 := backend.Matrix{Data: filled(b, w, e, k, n), Format: f}, backend.Matrix{Data: filled(b, w16,
				e, k, n), Format: f}
			do(t, b, &backend.GroupedMatMul{C: want, A: filled(b, x, m, k), B: matrix, Offsets: offsets})
			do(t, b, &backend.GroupedMatMul{C: got, A: filled(b, x16, m, k), B: matrix16, Offsets: offsets})
			if !slices.Equal(content[uint16](got), rounded16(content[float32](want))) {
				t.Errorf("GroupedMatMul in %s, %d workers: differs from the product in F32, rounded", f, workers)
			}
			wantW, gotW := filled(b, start, e, k, n), filled(b, start, e, k, n)
			do(t, b, &backend.GroupedOuter{C: wantW, A: filled(b, x, m, k), B: filled(b, y, m, n), Offsets: offsets, Format: f})
			do(t, b, &backend.GroupedOuter{C: gotW, A: filled(b, x16, m, k), B: filled(b, y16, m, n), Offsets: offsets,
				Format: f})
			sameBits(t, fmt.Sprintf("GroupedOuter in %s, %d workers", f, workers), content[float32](gotW),
				content[float32](wantW))
		}
	}
}

func TestBF16ProductsAllocateNothingInTheSteadyState(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector, sync.Pool drops items at random")
	}
	b, rng := withWorkers(t, 2), newRand(t)
	const k, n = 320, 700
	w16, w := halves16(rng, k*n)
	for _, m := range []int{1, 64, manyRows} {
		a16, _ := halves16(rng, m*k)
		c, a := filled(b, make([]uint16, m*n), m, n), filled(b, a16, m, k)
		for _, f := range []backend.Format{backend.Native, backend.BFloat16} {
			strided := backend.Matrix{Data: filled(b, w16, k, n), Format: f}
			for i, matrix := range []backend.Matrix{strided, packedAsAny(t, b, f, filled(b, w, k, n))} {
				op := &backend.MatMul{C: c, A: a, B: matrix}
				if got := testing.AllocsPerRun(20, func() { do(t, b, op) }); got > 0 {
					t.Errorf("%s, M = %d, matrix %d: %v allocations a run", f, m, i, got)
				}
			}
		}
	}
}

// The head, the log-sum-exp and the sampler treat BF16 like the same numbers in
// F32.
func TestBF16HeadIsThatOfF32RoundedOnce(t *testing.T) {
	const n, d, vocab = sumsRows + 70, 24, backend.VocabChunk + 77
	rng := newRand(t)
	x16, x := halves16(rng, n*d)
	w16, w := halves16(rng, vocab*d)
	for _, workers := range []int{1, 2} {
		s := newBench(t, backend.F32, workers, 7)
		b := s.b
		target := s.ints(s.ids(n, vocab), n)
		views := map[bool][2]backend.View{
			false: {filled(b, x, n, d), filled(b, w, vocab, d)},
			true:  {filled(b, x16, n, d), filled(b, w16, vocab, d)},
		}
		scores, grads := map[bool]*backend.LinearLogProb{}, map[bool]*backend.LinearLogProbGrad{}
		dLogProb, dEntropy := s.normal(n), s.normal(n)
		for half, v := range views {
			score := &backend.LinearLogProb{LogProb: s.zeros(n), LSE: s.zeros(n), Entropy: s.zeros(n),
				X: v[0], W: backend.MatrixOf(v[1].T()), Target: target, InvTemp: 0.8}
			s.do(score)
			grad := &backend.LinearLogProbGrad{DX: s.alloc(v[0].DType, n, d), DW: s.zeros(vocab, d), DLogProb: dLogProb,
				DEntropy: dEntropy,
				X:        v[0], W: backend.MatrixOf(v[1].T()), Target: target, LSE: score.LSE, Entropy: score.Entropy, InvTemp: 0.8}
			s.do(grad)
			scores[half], grads[half] = score, grad
		}
		sameBits(t, "LogProb", content[float32](scores[true].LogProb), content[float32](scores[false].LogProb))
		sameBits(t, "LSE", content[float32](scores[true].LSE), content[float32](scores[false].LSE))
		sameBits(t, "Entropy", content[float32](scores[true].Entropy), content[float32](scores[false].Entropy))
		sameBits(t, "DW", content[float32](grads[true].DW), content[float32](grads[false].DW))
		if !slices.Equal(content[uint16](grads[true].DX), rounded16(content[float32](grads[false].DX))) {
			t.Errorf("DX differs from that of F32, rounded")
		}
	}
}

func TestBF16LogitsScoreAsTheSameNumbersInF32(t *testing.T) {
	const n, vocab = 9, backend.VocabChunk + 77
	s := newBench(t, backend.F32, 2, 7)
	x16, x := halves16(s.rng, n*vocab)
	seed, pos, count := s.ints(s.ids(2*n, 1<<30), n, 2), s.ints(s.ids(n, 99), n), s.ints([]int32{0, 5, 0, 9, 0, 0, 0,
		0, 0}, n)
	temperature, topP := s.values([]float64{0, 1, .7, 1, 2, 1, 1, 1, 1}, n), s.values([]float64{1, 1, .8, .5, 1, 1, 1,
		.9, 1}, n)
	var draws []*backend.Sample
	var sums []*backend.LogSumExp
	for _, v := range []backend.View{filled(s.b, x, n, vocab), filled(s.b, x16, n, vocab)} {
		draw := &backend.Sample{Token: s.ints(nil, n), LogProb: s.zeros(n), X: v, Seed: seed, Pos: pos,
			TopK: count, Temperature: temperature, TopP: topP}
		sum := &backend.LogSumExp{LSE: s.zeros(n), Entropy: s.zeros(n), X: v, InvTemp: 0.9}
		s.do(draw)
		s.do(sum)
		draws, sums = append(draws, draw), append(sums, sum)
	}
	if !slices.Equal(content[int32](draws[0].Token), content[int32](draws[1].Token)) {
		t.Error("BF16 and F32 logits gave different tokens")
	}
	sameBits(t, "LogProb", content[float32](draws[1].LogProb), content[float32](draws[0].LogProb))
	sameBits(t, "LSE", content[float32](sums[1].LSE), content[float32](sums[0].LSE))
	sameBits(t, "Entropy", content[float32](sums[1].Entropy), content[float32](sums[0].Entropy))
}

// Rows that lie a multiple of the page size apart are copied if there are many
// of them; otherwise the kernels read them in place.
func TestBF16ProductsOfRowsPagesApartAreThoseOfAdjacentRows(t *testing.T) {
	const k, n, apart = 100, 300, 4096
	rng := newRand(t)
	w16, _ := halves16(rng, k*n)
	for _, m := range []int{1, 63, 64, 130} {
		a16, _ := halves16(rng, m*k)
		b := withWorkers(t, 2)
		far := filled(b, make([]uint16, m*apart), m, apart).Slice(1, 0, k)
		do(t, b, &backend.Copy{Dst: far, Src: filled(b, a16, m, k)})
		var products [][]float32
		for _, a := range []backend.View{filled(b, a16, m, k), far} {
			c := filled(b, make([]float32, m*n), m, n)
			do(t, b, &backend.MatMul{C: c, A: a, B: backend.Matrix{Data: filled(b, w16, k, n), Format: backend.BFloat16}})
			products = append(products, content[float32](c))
		}
		sameBits(t, fmt.Sprintf("%d rows", m), products[1], products[0])
	}
}
