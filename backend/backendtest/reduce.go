package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

type reduceSpec struct {
	Fn    backend.ReduceFn
	Shape []int
	NaN   bool // some elements are NaN or infinite
}

func reduceFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return reduceSpec{backend.ReduceFn(r.IntN(3)), randomShape(r, 1), r.IntN(4) == 0}
	}}
	for fn := backend.Sum; fn <= backend.ReduceMax; fn++ {
		for i, n := range edges {
			f.cases = append(f.cases, reduceSpec{Fn: fn, Shape: []int{1 + i%4, n}})
		}
		for _, shape := range [][]int{{9}, {0, 5}, {2, 3, 17}, {2, 2, 3, 33}, {2, 4095}, {1, 4097}, {3, 9001}} {
			f.cases = append(f.cases, reduceSpec{Fn: fn, Shape: shape})
		}
		f.cases = append(f.cases, reduceSpec{fn, []int{5, 40}, true}, reduceSpec{fn, []int{2, 5000}, true})
		f.bench = append(f.bench, reduceSpec{Fn: fn, Shape: []int{512, 1024}})
	}
	return f
}

func (c reduceSpec) op() string { return c.Fn.String() }

func (c reduceSpec) build(s *setup) {
	gen := s.mix(1, 1e4, -1e4)
	if c.NaN {
		gen = func(i int) float64 {
			if s.rng.IntN(60) == 0 {
				return []float64{math.NaN(), math.Inf(-1), math.Inf(1)}[s.rng.IntN(3)]
			}
			return s.rng.NormFloat64()
		}
	}
	x := s.readWith("X", free, gen, c.Shape...)
	y := s.write("Y", free, c.Shape[:len(c.Shape)-1]...)
	s.op = &backend.Reduce{Y: y.view, X: x.view, Fn: c.Fn}
	n := c.Shape[len(c.Shape)-1]
	s.want = func() {
		for i := range y.vals {
			row := x.vals[i*n:][:n]
			sum, size, top := 0.0, 0.0, math.Inf(-1)
			for _, v := range row {
				if c.Fn == backend.SumSquares {
					v *= v
				}
				sum += v
				size += math.Abs(v)
				top = max(top, v)
			}
			if c.Fn == backend.ReduceMax {
				y.expect(i, top, 0)
			} else {
				y.expect(i, sum, terms(n)*size)
			}
		}
	}
}

type softmaxSpec struct {
	Shape []int
	Scale float64 // standard deviation of the inputs
}

func softmaxFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		shape := randomShape(r, 1)
		shape[len(shape)-1] = max(shape[len(shape)-1], 1)
		return softmaxSpec{shape, 3}
	}}
	for i, n := range edges[1:] {
		f.cases = append(f.cases, softmaxSpec{[]int{1 + i%4, n}, 3})
	}
	for _, shape := range [][]int{{9}, {0, 5}, {2, 3, 17}, {2, 2, 3, 33}, {2, 5000}} {
		f.cases = append(f.cases, softmaxSpec{shape, 3}, softmaxSpec{shape, 1e4})
	}
	f.bench = []spec{softmaxSpec{[]int{512, 1024}, 3}}
	return f
}

func (softmaxSpec) op() string { return "Softmax" }

func (c softmaxSpec) build(s *setup) {
	x, y := s.readWith("X", free, s.mix(c.Scale, 0, 0, math.Inf(-1)), c.Shape...), s.write("Y", free, c.Shape...)
	n := c.Shape[len(c.Shape)-1]
	for i := 0; i < len(x.vals); i += n {
		row := x.vals[i:][:n]
		if math.IsInf(slices.Max(row), -1) { // the softmax of a fully masked row is undefined
			x.store(s.normal(c.Scale))
		}
	}
	s.op = &backend.Softmax{Y: y.view, X: x.view}
	s.want = func() {
		for i := 0; i < len(x.vals); i += n {
			row := x.vals[i:][:n]
			top := slices.Max(row)
			for j, p := range softmax(row) {
				y.expect(i+j, p, p*(min(top-row[j], 200)+terms(n)))
			}
		}
	}
}

// softmax returns exp(x)/Σ exp(x) in a new slice.
func softmax(x []float64) []float64 {
	p := make([]float64, len(x))
	lse := logSumExp(x)
	for i, v := range x {
		p[i] = math.Exp(v - lse)
	}
	return p
}

// logSumExp returns log Σ exp(x), or −Inf if x is empty.
func logSumExp(x []float64) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, v)
	}
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return math.Log(sum) + top
}

type topKSpec struct {
	N, E, K int
	Ties    bool // values from a set of four
	NaN     bool
	NoValue bool // the optional Values are absent
}

func topKFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		e := size(r, 0)
		return topKSpec{r.IntN(6), e, r.IntN(e + 1), r.IntN(2) == 0, r.IntN(3) == 0, r.IntN(3) == 0}
	}}
	for i, e := range edges {
		f.cases = append(f.cases, topKSpec{N: 3, E: e, K: min(e, 1+i%9)}, topKSpec{N: 4, E: e, K: min(e, 8), Ties: true,
			NoValue: i%2 == 0})
	}
	f.cases = append(f.cases, topKSpec{N: 0, E: 9, K: 3}, topKSpec{N: 2, E: 9, K: 0}, topKSpec{N: 5, E: 9, K: 9,
		NaN: true}, topKSpec{N: 5, E: 64, K: 8, NaN: true, Ties: true}, topKSpec{N: 3, E: 1025, K: 8, Ties: true})
	f.bench = []spec{topKSpec{N: 512, E: 256, K: 8}}
	return f
}

func (topKSpec) op() string { return "TopK" }

func (c topKSpec) build(s *setup) {
	x := s.readWith("X", free, func(int) float64 {
		switch {
		case c.NaN && s.rng.IntN(3) == 0:
			return []float64{math.NaN(), math.Inf(-1)}[s.rng.IntN(2)]
		case c.Ties:
			return float64(s.rng.IntN(4))
		}
		return s.rng.NormFloat64()
	}, c.N, c.E)
	index := s.writeInts("Index", free, c.N, c.K)
	op := &backend.TopK{Index: index.view, X: x.view}
	var values *operand
	if !c.NoValue {
		values = s.write("Values", free, c.N, c.K)
		op.Values = values.view
	}
	s.op = op
	s.want = func() {
		for i := range c.N {
			row := x.vals[i*c.E:][:c.E]
			for j, e := range topK(row, c.K) {
				index.expect(i*c.K+j, float64(e), 0)
				if values != nil {
					values.expect(i*c.K+j, withoutNaN(row[e]), 0)
				}
			}
		}
	}
}

func withoutNaN(x float64) float64 {
	if math.IsNaN(x) {
		return math.Inf(-1)
	}
	return x
}

// topK returns the ids of the k largest elements of x in descending order. Ties go to the
// lowest id; NaN counts as −Inf.
func topK(x []float64, k int) []int {
	ids := make([]int, len(x))
	for i := range ids {
		ids[i] = i
	}
	slices.SortStableFunc(ids, func(a, b int) int {
		va, vb := withoutNaN(x[a]), withoutNaN(x[b])
		switch {
		case va > vb:
			return -1
		case va < vb:
			return 1
		}
		return 0
	})
	return ids[:k]
}
