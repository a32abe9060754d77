package cpu

import (
	"fmt"
	"testing"

	"github.com/aha-go/aha/backend"
)

// form is the shape of one kind of attention.
type form struct {
	name                  string
	heads, groups, dk, dv int
	latent                bool // V is the first dv elements of each row of K
	cache                 bool // K and V are BF16, whatever the other operands are
}

// forms reach every path of the kernels: one head per key head, and key heads
// that serve 2, 6, or at least as many heads as there are lanes.
var forms = []form{
	{name: "naive MLA", heads: 3, groups: 3, dk: 24, dv: 16},
	{name: "GQA", heads: 4, groups: 2, dk: 48, dv: 32},
	{name: "GQA of 6", heads: 12, groups: 2, dk: 33, dv: 17},
	{name: "13 heads", heads: 13, groups: 1, dk: 16, dv: 20},
	{name: "absorbed MLA", heads: 16, groups: 1, dk: 72, dv: 64, latent: true},
	{name: "absorbed MLA of 20 heads", heads: 20, groups: 1, dk: 40, dv: 32, latent: true},
}

// numbers returns the elements of a float view in row-major order.
func numbers(v backend.View) []float64 {
	x, mem := make([]float64, v.Len()), v.Buf.(*buffer).mem
	v.Each(func(i, at int) { x[i] = v.DType.Get(mem, at) })
	return x
}

// random returns an op with n query rows and r key rows of random numbers.
func (f form) random(s *bench, n, r int) *backend.Attention {
	dt := s.dtype
	if f.cache {
		dt = backend.BF16
	}
	op := &backend.Attention{
		O: s.zeros(n, f.heads, f.dv), LSE: s.stats(n, f.heads), Q: s.normal(n, f.heads, f.dk),
		K: s.normalOf(dt, r, f.groups, f.dk), Scale: 0.144,
	}
	if f.latent {
		op.V = op.K.Slice(2, 0, f.dv)
	} else {
		op.V = s.normalOf(dt, r, f.groups, f.dv)
	}
	return op
}

func TestAttentionHasTheSameBitsPackedChunkedDecodedAndPaged(t *testing.T) {
	for _, f := range forms {
		t.Run("F32/"+f.name, func(t *testing.T) { testAttentionForms(t, backend.F32, f) })
		t.Run("BF16/"+f.name, func(t *testing.T) { testAttentionForms(t, backend.BF16, f) })
		f.cache = true
		t.Run("BF16 cache/"+f.name, func(t *testing.T) { testAttentionForms(t, backend.F32, f) })
	}
	t.Run("F64", func(t *testing.T) { testAttentionForms(t, backend.F64, forms[1]) })
}

func testAttentionForms(t *testing.T, dt backend.DType, f form) {
	const first, n, slots, place = 29, 270, 500, 130
	s := newBench(t, dt, 2, 4)
	// A training batch: this sequence lies between two others.
	start, length := sequencesOf(first, n, 40)
	total := len(start)
	batch := f.random(s, total, total)
	batch.Start, batch.Len = s.ints(start, total), s.ints(length, total)
	s.do(batch)
	wantO, wantLSE := numbers(batch.O.Slice(0, first, first+n)), numbers(batch.LSE.Slice(0, first, first+n))

	// A rollout's cache: the same keys and values, as parts of wider rows, at
	// another offset, next to the remains of another request.
	cache := s.normalOf(batch.K.DType, slots, f.groups, f.dk+f.dv)
	// An engine's paged cache: the same keys and values in unordered pages.
	pages, table := s.normalOf(batch.K.DType, 5*backend.PageRows, f.groups, f.dk+f.dv), []int32{-1, 4, 0, 2}
	for i := range n {
		page := int(table[1+i/backend.PageRows])
		for v, from := range map[*backend.View]int{&batch.K: 0, &batch.V: f.dk} {
			for _, row := range []backend.View{cache.Index(place + i), pages.Index(page*backend.PageRows + i%backend.PageRows)} {
				s.do(&backend.Copy{Dst: row.Slice(1, from, from+v.Shape[2]), Src: v.Index(first + i)})
			}
		}
	}
	ones := make([]int, n)
	for i := range ones {
		ones[i] = 1
	}
	for workers, splits := range map[int][][]int{1: {{120, 90, 55, 5}}, 3: {{n}, {1, n - 1}, {14, n - 14}, ones}} {
		s.b = withWorkers(t, workers)
		for _, chunks := range splits {
			var o, lse, pagedO, pagedLSE []float64
			done := 0
			for _, c := range chunks {
				start, first1, length := make([]int32, c), make([]int32, c), make([]int32, c)
				for i := range c {
					start[i], first1[i], length[i] = place, backend.PageRows, int32(done+i+1)
				}
				op := &backend.Attention{
					O: s.zeros(c, f.heads, f.dv), LSE: s.stats(c, f.heads), Q: batch.Q.Slice(0, first+done, first+done+c),
					K: cache.Slice(2, 0, f.dk), V: cache.Slice(2, f.dk, f.dk+f.dv), Start: s.ints(start, c), Len: s.ints(length,
						c), Scale: 0.144,
				}
				s.do(op)
				o, lse = append(o, numbers(op.O)...), append(lse, numbers(op.LSE)...)
				op.K, op.V = pages.Slice(2, 0, f.dk), pages.Slice(2, f.dk, f.dk+f.dv)
				op.Start, op.Pages = s.ints(first1, c), s.ints(table, len(table))
				s.do(op)
				pagedO, pagedLSE = append(pagedO, numbers(op.O)...), append(pagedLSE, numbers(op.LSE)...)
				done += c
			}
			what := fmt.Sprintf("%d workers, chunks %v", workers, chunks[:min(len(chunks), 4)])
			sameBits(t, "O: "+what, o, wantO)
			sameBits(t, "LSE: "+what, lse, wantLSE)
			sameBits(t, "paged O: "+what, pagedO, wantO)
			sameBits(t, "paged LSE: "+what, pagedLSE, wantLSE)
		}
	}
}

// A few sequences with long caches are split over the threads in several waves.
func TestAttentionHasTheSameBitsAtEveryNumberOfThreads(t *testing.T) {
	for _, f := range forms {
		for _, dt := range []backend.DType{backend.F32, backend.BF16} {
			t.Run(f.name+"/"+dt.String(), func(t *testing.T) {
				var wantO, wantLSE []float64
				for _, workers := range []int{1, 2, 5} {
					s := newBench(t, dt, workers, 8)
					start, length := []int32{0, 0, 3000, 3100, 3100}, []int32{2900, 2901, 77, 0, 513}
					op := f.random(s, len(start), 3700)
					op.Start, op.Len = s.ints(start, len(start)), s.ints(length, len(start))
					s.do(op)
					o, lse := numbers(op.O), numbers(op.LSE)
					if wantO == nil {
						wantO, wantLSE = o, lse
					}
					sameBits(t, fmt.Sprint("O with workers ", workers), o, wantO)
					sameBits(t, fmt.Sprint("LSE with workers ", workers), lse, wantLSE)
				}
			})
		}
	}
}

// gradOf returns the backward op of op for the gradient do of its output.
func (s *bench) gradOf(op *backend.Attention, do backend.View) *backend.AttentionGrad {
	return &backend.AttentionGrad{
		DQ: s.alloc(op.Q.DType, op.Q.Dims()...),
		DK: s.alloc(op.K.DType, op.K.Dims()...), DV: s.alloc(op.V.DType, op.V.Dims()...),
		DO: do, O: op.O, LSE: op.LSE, Q: op.Q, K: op.K, V: op.V, Start: op.Start, Len: op.Len, Scale: op.Scale,
	}
}

// BF16 results are those of F32, rounded once, even where several segments or
// sequences add to a gradient.
func TestAttentionInBF16IsThatInF32RoundedOnce(t *testing.T) {
	for _, f := range forms {
		for name, c := range map[string]struct{ start, length []int32 }{
			"one sequence": {[]int32{0}, []int32{600}},
			"overlapping":  {[]int32{5, 0, 300}, []int32{20, 530, 40}},
			"apart":        {[]int32{100, 180, 700}, []int32{70, 90, 0}},
		} {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				for _, workers := range []int{1, 3} {
					testAttentionRounding(t, f, workers, c.start, c.length)
				}
			})
		}
	}
}

// testAttentionRounding tests sequences of 40 rows; the last row of sequence i
// sees lengths[i] keys.
func testAttentionRounding(t *testing.T, f form, workers int, starts, lengths []int32) {
	const rows, keys = 40, 800
	s := newBench(t, backend.BF16, workers, 11)
	var start, length []int32
	for i := range starts {
		for r := range int32(rows) {
			start, length = append(start, starts[i]), append(length, max(lengths[i]-rows+1+r, 0))
		}
	}
	half := f.random(s, len(start), keys)
	half.Start, half.Len = s.ints(start, len(start)), s.ints(length, len(start))
	s.do(half)
	s.dtype = backend.F32
	whole := *half
	whole.O, whole.LSE = s.zeros(half.O.Dims()...), s.zeros(half.LSE.Dims()...)
	whole.Q, whole.K, whole.V = s.widen(half.Q), s.widen(half.K), s.widen(half.V)
	s.do(&whole)
	rounded := func(what string, got, want backend.View) {
		t.Helper()
		x := numbers(want)
		for i, v := range x {
			x[i] = backend.BF16.Round(v)
		}
		sameBits(t, what, numbers(got), x)
	}
	rounded("O", half.O, whole.O)
	sameBits(t, "LSE", numbers(half.LSE), numbers(whole.LSE))

	do := s.normalOf(backend.BF16, half.O.Dims()...)
	gradHalf := s.gradOf(half, do)
	s.do(gradHalf)
	whole.O = s.widen(half.O)
	gradWhole := s.gradOf(&whole, s.widen(do))
	s.do(gradWhole)
	rounded("DQ", gradHalf.DQ, gradWhole.DQ)
	rounded("DK", gradHalf.DK, gradWhole.DK)
	rounded("DV", gradHalf.DV, gradWhole.DV)
}

// widen returns a copy of v in F32.
func (s *bench) widen(v backend.View) backend.View {
	w := s.alloc(backend.F32, v.Dims()...)
	s.do(&backend.Copy{Dst: w, Src: v})
	return w
}

func TestAttentionAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector, sync.Pool drops items at random")
	}
	for _, f := range forms {
		testAttentionAllocations(t, backend.F32, f)
		testAttentionAllocations(t, backend.BF16, f)
	}
}

func testAttentionAllocations(t *testing.T, dt backend.DType, f form) {
	s := newBench(t, dt, 2, 9)
	for i := range s.b.pool.workers { // each worker's scratch memory may reach its final size late
		scratch[float32](&s.b.pool.workers[i], 1<<18)
	}
	for _, c := range []struct{ start, length []int32 }{
		{[]int32{0}, []int32{700}}, // this one is split over the threads
		{[]int32{0, 300, 600, 900, 0, 0, 0, 0, 0}, []int32{9, 99, 199, 1, 2, 3, 4, 5, 6}},
	} {
		op := f.random(s, len(c.start), 1000)
		op.Start, op.Len = s.ints(c.start, len(c.start)), s.ints(c.length, len(c.start))
		s.do(op)
		if n := testing.AllocsPerRun(5, func() { s.do(op) }); n != 0 {
			t.Errorf("%s in %s: %g allocations for %v", f.name, dt, n, c.length)
		}
		grad := s.gradOf(op, op.O)
		s.do(grad)
		if n := testing.AllocsPerRun(5, func() { s.do(grad) }); n != 0 {
			t.Errorf("%s in %s: %g allocations for the gradient of %v", f.name, dt, n, c.length)
		}
	}
}

func TestAttentionGradOfASequenceDoesNotDependOnTheBatch(t *testing.T) {
	for _, f := range []form{forms[1], forms[4]} {
		for _, dt := range []backend.DType{backend.F32, backend.BF16} {
			t.Run(f.name+"/"+dt.String(), func(t *testing.T) { testAttentionGradAlone(t, dt, f) })
		}
	}
}

func testAttentionGradAlone(t *testing.T, dt backend.DType, f form) {
	const first, n = 50, 550
	s := newBench(t, dt, 2, 5)
	start, length := sequencesOf(first, n, 20)
	total := len(start)
	in := f.random(s, total, total)
	in.Start, in.Len = s.ints(start, total), s.ints(length, total)
	s.do(in)
	do := s.normal(total, f.heads, f.dv)
	op := func(lo, hi int, start, length []int32) *backend.AttentionGrad {
		op := &backend.AttentionGrad{
			DQ: s.zeros(hi-lo, f.heads, f.dk), DK: s.zeros(hi-lo, f.groups, f.dk), DV: s.zeros(hi-lo, f.groups, f.dv),
			DO: do.Slice(0, lo, hi), O: in.O.Slice(0, lo, hi), LSE: in.LSE.Slice(0, lo, hi),
			Q: in.Q.Slice(0, lo, hi), K: in.K.Slice(0, lo, hi), V: in.V.Slice(0, lo, hi),
			Start: s.ints(start, hi-lo), Len: s.ints(length, hi-lo), Scale: in.Scale,
		}
		s.do(op)
		return op
	}
	batch := op(0, total, start, length)
	start, length = sequencesOf(n)
	for _, workers := range []int{1, 3} {
		s.b = withWorkers(t, workers)
		alone := op(first, first+n, start, length)
		sameBits(t, "DQ", numbers(alone.DQ), numbers(batch.DQ.Slice(0, first, first+n)))
		sameBits(t, "DK", numbers(alone.DK), numbers(batch.DK.Slice(0, first, first+n)))
		sameBits(t, "DV", numbers(alone.DV), numbers(batch.DV.Slice(0, first, first+n)))
	}
}

func TestAttentionNamesTheRowWhoseKeysAreOutside(t *testing.T) {
	s := newBench(t, backend.F32, 1, 6)
	op := &backend.Attention{O: s.zeros(2, 1, 4), LSE: s.zeros(2, 1), Q: s.normal(2, 1, 4), K: s.normal(3, 1, 4),
		V:     s.normal(3, 1, 4),
		Start: s.ints([]int32{0, 2}, 2), Len: s.ints([]int32{1, 2}, 2), Scale: 1}
	panics(t, func() { s.do(op) }, "Attention", "row 1", "2 to 4 of 3")

	op.K, op.V = s.normal(200, 1, 4), s.normal(200, 1, 4)
	op.Pages = s.ints([]int32{0, 1, 2}, 3)
	for _, c := range []struct {
		start, length int32
		want          string
	}{
		{0, 201, "page 1 is 1, there are 200 key rows"}, {256, 1, "page 2 is 2"},
		{128, 257, "keys 128 to 385 of 3 pages of 128"}, {64, 1, "keys 64 to 65"}, {-128, 1, "keys -128 to -127"},
	} {
		op.Start, op.Len = s.ints([]int32{0, c.start}, 2), s.ints([]int32{1, c.length}, 2)
		panics(t, func() { s.do(op) }, "Attention", "row 1", c.want)
	}
}
