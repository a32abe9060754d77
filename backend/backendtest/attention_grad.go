package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type attentionGradSpec struct{ attentionSpec }

func attentionGradFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := randomAttention(r)
		c.Paged = false
		return attentionGradSpec{c}
	}}
	for _, c := range attentionCases() {
		if !c.Spoiled && !c.Paged {
			f.cases = append(f.cases, attentionGradSpec{c})
		}
	}
	f.gradient = []spec{
		attentionGradSpec{attentionSpec{Seqs: []int{4, 3}, Dead: 1, H: 2, G: 1, Dk: 3, Dv: 2, Scale: 0.5}},
		attentionGradSpec{attentionSpec{Seqs: []int{3, 2}, Prefix: 2, H: 2, G: 2, Dk: 2, Dv: 3, Scale: 0.5, Blank: true}},
	}
	f.bench = []spec{attentionGradSpec{attentionSpec{Seqs: []int{512}, H: 8, G: 8, Dk: 96, Dv: 64, Scale: 0.1}}}
	return f
}

func (attentionGradSpec) op() string { return "AttentionGrad" }

func (c attentionGradSpec) build(s *setup) {
	a := c.inputs(s)
	valsO, valsLSE, _, _ := a.forward()
	dout := s.operand("DO", s.activation(), rows, !c.Blank, []int{a.n, c.H, c.Dv}).store(func(i int) float64 {
		if a.length.vals[i/(c.H*c.Dv)] == 0 {
			return math.NaN()
		}
		return s.rng.NormFloat64()
	})
	o := s.operand("O", s.activation(), rows, false, []int{a.n, c.H, c.Dv}).store(func(i int) float64 { return valsO[i] })
	lse := s.operand("LSE", s.compute(), flat, false, []int{a.n, c.H}).store(func(i int) float64 { return valsLSE[i] })
	dq, dk, dv := s.write("DQ", rows, a.n, c.H, c.Dk), s.write("DK", rows, a.r, c.G, c.Dk), s.write("DV", rows, a.r,
		c.G, c.Dv)
	s.op = &backend.AttentionGrad{
		DQ: dq.view, DK: dk.view, DV: dv.view, DO: dout.view, O: o.view, LSE: lse.view,
		Q: a.q.view, K: a.k.view, V: a.v.view, Start: a.start.view, Len: a.length.view, Scale: c.Scale,
	}
	for _, n := range a.length.vals {
		s.flops += 2 * n * float64(c.H*(3*c.Dk+2*c.Dv))
	}
	s.want = func() {
		gq, gk, gv := newSum(len(a.q.vals)), newSum(len(a.k.vals)), newSum(len(a.v.vals))
		for i := range a.n {
			for h := range c.H {
				a.backward(i, h, dout.vals, o.vals, lse.vals, gq, gk, gv)
			}
		}
		gq.expect(dq)
		gk.expect(dk)
		gv.expect(dv)
		loss := func() float64 {
			out, _, _, _ := a.forward()
			sum := 0.0
			for i, v := range out {
				if a.length.vals[i/(c.H*c.Dv)] > 0 {
					sum += v * dout.vals[i]
				}
			}
			return sum
		}
		s.gradient("Q", a.q.vals, gq.value, loss)
		s.gradient("K", a.k.vals, gk.value, loss)
		s.gradient("V", a.v.vals, gv.value, loss)
	}
}

// backward adds the gradients of row i and head h to gq, gk and gv.
func (a *attention) backward(i, h int, dout, o, lse []float64, gq, gk, gv *sum) {
	row := i*a.H + h
	s, bound := a.scores(i, h)
	bound += math.Abs(lse[row]) + terms(a.Dv)
	do := dout[row*a.Dv:][:a.Dv]
	delta, deltaSize := dot(do, o[row*a.Dv:][:a.Dv]), magnitude(do, o[row*a.Dv:][:a.Dv])
	start, _ := a.window(i)
	q := a.query(i, h)
	for j, z := range s {
		k, v := a.key(start+j, h), a.value(start+j, h)
		at := (start+j)*a.G + h/(a.H/a.G)
		p := math.Exp(z - lse[row])
		ds := p * (dot(do, v) - delta)
		size := bound * p * (magnitude(do, v) + deltaSize)
		for d := range a.Dk {
			gq.add(row*a.Dk+d, a.Scale*ds*k[d], a.Scale*size*math.Abs(k[d]))
			gk.add(at*a.Dk+d, a.Scale*ds*q[d], a.Scale*size*math.Abs(q[d]))
		}
		for d, g := range do {
			gv.add(at*a.Dv+d, p*g, bound*p*math.Abs(g))
		}
	}
}

// sum accumulates the elements of an operand: their values, error bounds and numbers of
// terms.
type sum struct {
	value, bound []float64
	terms        []int
}

func newSum(n int) *sum { return &sum{make([]float64, n), make([]float64, n), make([]int, n)} }

// add adds a term to element i. The term's own error is bound units of roundoff.
func (s *sum) add(i int, v, bound float64) {
	s.value[i] += v
	s.bound[i] += bound + math.Abs(v)
	s.terms[i]++
}

// expect requires o to equal the sums.
func (s *sum) expect(o *operand) {
	for i, v := range s.value {
		o.expect(i, v, s.bound[i]*terms(s.terms[i])/2)
	}
}
