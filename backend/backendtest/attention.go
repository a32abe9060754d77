package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// attentionSpec describes sequences of the given lengths that lie one after another. Each
// has Prefix more keys before its own, without query rows. Dead key rows, which are NaN
// in K and V, lie between the sequences, so that using one in arithmetic is noticed.
type attentionSpec struct {
	Seqs         []int
	Prefix, Dead int
	H, G, Dk, Dv int
	Blank        bool // each sequence ends with a query row of window length 0, which is NaN in Q
	Spoiled      bool // the last key of the first sequence is NaN: only its own query attends to it
	Scale        float64
	// Paged puts the keys in pages in random order, with pages of NaN between them.
	// Unused entries of the page table are out of range.
	Paged bool
}

func attentionCases() []attentionSpec {
	list := []attentionSpec{
		{Seqs: []int{}, H: 2, G: 1, Dk: 8, Dv: 8},
		{Seqs: []int{0, 1}, H: 1, G: 1, Dk: 1, Dv: 1},
		{Seqs: []int{5, 1, 9}, Dead: 1, H: 4, G: 2, Dk: 16, Dv: 16},
		{Seqs: []int{17}, H: 3, G: 3, Dk: 24, Dv: 16},
		{Seqs: []int{33, 7}, Dead: 2, H: 4, G: 1, Dk: 9, Dv: 7},
		{Seqs: []int{65}, H: 2, G: 2, Dk: 33, Dv: 31},
		{Seqs: []int{127, 2}, H: 1, G: 1, Dk: 8, Dv: 17},
		{Seqs: []int{129}, H: 2, G: 1, Dk: 12, Dv: 8},
		{Seqs: []int{3, 4}, Prefix: 60, H: 2, G: 1, Dk: 16, Dv: 8},
		{Seqs: []int{1, 1, 1}, Prefix: 255, H: 2, G: 2, Dk: 8, Dv: 8},
		{Seqs: []int{6, 8}, Dead: 1, H: 2, G: 1, Dk: 8, Dv: 8, Blank: true},
		{Seqs: []int{6, 8}, H: 2, G: 2, Dk: 8, Dv: 8, Spoiled: true},
		{Seqs: []int{20}, H: 2, G: 2, Dk: 8, Dv: 8, Scale: 1e3},
		{Seqs: []int{70, 64}, H: 2, G: 1, Dk: 64, Dv: 64, Dead: 1},
		{Seqs: []int{257}, H: 1, G: 1, Dk: 4, Dv: 4},
		{Seqs: []int{2}, Prefix: 383, H: 1, G: 1, Dk: 65, Dv: 4},
		// Many query vectors attend to the same keys, within a segment and across segments.
		{Seqs: []int{1, 2}, Prefix: 300, Dead: 1, H: 16, G: 1, Dk: 40, Dv: 32},
		{Seqs: []int{40, 13}, Dead: 1, H: 24, G: 2, Dk: 20, Dv: 16},
		{Seqs: []int{20, 30}, H: 16, G: 1, Dk: 24, Dv: 24, Spoiled: true},
		{Seqs: []int{18, 8}, Dead: 1, H: 2, G: 2, Dk: 8, Dv: 12, Blank: true, Spoiled: true},
		{Seqs: []int{9}, Prefix: 509, H: 2, G: 1, Dk: 8, Dv: 8},
		{Seqs: []int{140}, Prefix: 120, H: 6, G: 1, Dk: 16, Dv: 9},
	}
	for _, i := range []int{0, 1, 2, 7, 8, 9, 10, 11, 14, 15, 16, 17, 19, 20, 21} {
		c := list[i]
		c.Paged = true
		list = append(list, c)
	}
	for i := range list {
		if list[i].Scale == 0 {
			list[i].Scale = 0.3
		}
	}
	return list
}

func randomAttention(r *rand.Rand) attentionSpec {
	g := 1 + r.IntN(3)
	c := attentionSpec{
		Prefix: r.IntN(2) * r.IntN(70), Dead: r.IntN(3), H: g * (1 + r.IntN(3)), G: g,
		Dk: size(r, 1), Dv: size(r, 1), Blank: r.IntN(5) == 0, Scale: 0.3, Paged: r.IntN(3) == 0,
	}
	for range r.IntN(4) {
		c.Seqs = append(c.Seqs, r.IntN(20))
	}
	return c
}

func attentionFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return randomAttention(r) }}
	for _, c := range attentionCases() {
		f.cases = append(f.cases, c)
	}
	f.bench = []spec{attentionSpec{Seqs: []int{512}, H: 8, G: 8, Dk: 96, Dv: 64, Scale: 0.1},
		attentionSpec{Seqs: []int{1}, Prefix: 2047, H: 16, G: 1, Dk: 288, Dv: 256, Scale: 0.06}}
	paged := f.bench[1].(attentionSpec)
	paged.Paged = true
	f.bench = append(f.bench, paged)
	return f
}

func (attentionSpec) op() string { return "Attention" }

// attention has the operands of a case and computes its definition.
type attention struct {
	attentionSpec
	q, k, v       *operand
	start, length *operand
	pages         *operand // nil unless Paged
	n, r          int
	row           []int // the row of K and V for each logical row
}

// inputs makes the operands that Attention reads.
func (c attentionSpec) inputs(s *setup) *attention {
	a := &attention{attentionSpec: c}
	var starts, lengths []int
	var dead []bool
	for _, t := range c.Seqs {
		first := a.r
		for i := range t {
			starts, lengths = append(starts, first), append(lengths, c.Prefix+i+1)
		}
		if c.Blank {
			starts, lengths = append(starts, first), append(lengths, 0)
		}
		tail := c.Dead
		if c.Paged { // the next sequence begins at a page boundary
			tail = (c.Prefix+t+backend.PageRows-1)/backend.PageRows*backend.PageRows - c.Prefix - t
		}
		a.r += c.Prefix + t + tail
		for range c.Prefix + t {
			dead = append(dead, false)
		}
		for range tail {
			dead = append(dead, true)
		}
	}
	a.n = len(starts)
	if c.Spoiled {
		dead[c.Prefix+c.Seqs[0]-1] = true
	}
	for r := range a.r {
		a.row = append(a.row, r)
	}
	if c.Paged {
		dead = a.page(s, dead)
	}
	key := func(width int) func(int) float64 {
		return func(i int) float64 {
			if dead[i/width] {
				return math.NaN()
			}
			return s.rng.NormFloat64()
		}
	}
	query := func(i int) float64 {
		if lengths[i/(c.H*c.Dk)] == 0 {
			return math.NaN()
		}
		return s.rng.NormFloat64()
	}
	// With repeated rows, a live key could share memory with the NaN of a dead one.
	repeat := c.Dead == 0 && !c.Blank && !c.Spoiled && !c.Paged
	a.q = s.operand("Q", s.activation(), rows, repeat, []int{a.n, c.H, c.Dk}).store(query)
	a.k = s.operand("K", s.activation(), rows, repeat, []int{a.r, c.G, c.Dk}).store(key(c.G * c.Dk))
	a.v = s.operand("V", s.activation(), rows, repeat, []int{a.r, c.G, c.Dv}).store(key(c.G * c.Dv))
	a.start = s.ints("Start", flat, func(i int) int { return starts[i] }, a.n)
	a.length = s.ints("Len", flat, func(i int) int { return lengths[i] }, a.n)
	return a
}

// page assigns the logical rows to pages in random order. dead says which logical rows
// must not be used; deadRows says the same of the rows of K and V.
func (a *attention) page(s *setup, dead []bool) (deadRows []bool) {
	used := a.r / backend.PageRows
	order := s.rng.Perm(used + a.Dead)
	a.r = len(order) * backend.PageRows
	deadRows = make([]bool, a.r)
	for i := range deadRows {
		deadRows[i] = true
	}
	for r := range a.row {
		a.row[r] = order[r/backend.PageRows]*backend.PageRows + r%backend.PageRows
		deadRows[a.row[r]] = dead[r]
	}
	a.pages = s.ints("Pages", flat, func(i int) int {
		if i < used {
			return order[i]
		}
		return 1<<24 - 1<<25*(i%2)
	}, used+2)
	return deadRows
}

// window returns the first key row of query row i and the number of its key rows.
func (a *attention) window(i int) (start, n int) {
	return int(a.start.vals[i]), int(a.length.vals[i])
}

func (a *attention) query(i, h int) []float64 { return a.q.vals[(i*a.H+h)*a.Dk:][:a.Dk] }

func (a *attention) key(j, h int) []float64 {
	return a.k.vals[(a.row[j]*a.G+h/(a.H/a.G))*a.Dk:][:a.Dk]
}

func (a *attention) value(j, h int) []float64 {
	return a.v.vals[(a.row[j]*a.G+h/(a.H/a.G))*a.Dv:][:a.Dv]
}

// scores returns the scaled scores of row i and head h over its window, and the largest
// error of a score in units of roundoff.
func (a *attention) scores(i, h int) (s []float64, bound float64) {
	start, n := a.window(i)
	s = make([]float64, n)
	q := a.query(i, h)
	for j := range s {
		s[j] = a.Scale * dot(q, a.key(start+j, h))
		bound = max(bound, terms(a.Dk)*a.Scale*magnitude(q, a.key(start+j, h)))
	}
	return s, bound
}

// forward returns the results, O [N, H, Dv] and LSE [N, H], and their error bounds.
func (a *attention) forward() (o, lse, boundO, boundLSE []float64) {
	o, boundO = make([]float64, a.n*a.H*a.Dv), make([]float64, a.n*a.H*a.Dv)
	lse, boundLSE = make([]float64, a.n*a.H), make([]float64, a.n*a.H)
	for i := range a.n {
		for h := range a.H {
			row := i*a.H + h
			s, bound := a.scores(i, h)
			lse[row] = logSumExp(s)
			bound += math.Abs(lse[row]) + terms(len(s))
			boundLSE[row] = bound
			start, _ := a.window(i)
			for j, z := range s {
				p := math.Exp(z - lse[row])
				for d, v := range a.value(start+j, h) {
					o[row*a.Dv+d] += p * v
					boundO[row*a.Dv+d] += bound * p * math.Abs(v)
				}
			}
		}
	}
	return o, lse, boundO, boundLSE
}

func (c attentionSpec) build(s *setup) {
	a := c.inputs(s)
	o, lse := s.write("O", rows, a.n, c.H, c.Dv), s.writeStat("LSE", flat, a.n, c.H)
	op := &backend.Attention{
		O: o.view, LSE: lse.view, Q: a.q.view, K: a.k.view, V: a.v.view,
		Start: a.start.view, Len: a.length.view, Scale: c.Scale,
	}
	if c.Paged {
		op.Pages = a.pages.view
	}
	s.op = op
	for _, n := range a.length.vals {
		s.flops += 2 * n * float64(c.H*(c.Dk+c.Dv))
	}
	s.want = func() {
		wantO, wantLSE, boundO, boundLSE := a.forward()
		for i, v := range wantO {
			o.expect(i, v, boundO[i])
		}
		for i, v := range wantLSE {
			lse.expect(i, v, boundLSE[i])
		}
	}
}
