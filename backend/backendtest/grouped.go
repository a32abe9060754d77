package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// groupSpec describes rows in groups of the given sizes, followed by Spare rows in no
// group.
type groupSpec struct {
	Sizes []int
	Spare int
	P, Q  int
}

func (c groupSpec) rows() int {
	m := c.Spare
	for _, n := range c.Sizes {
		m += n
	}
	return m
}

func (c groupSpec) offsets(s *setup) *operand {
	sum := 0
	return s.ints("Offsets", free, func(i int) int {
		if i > 0 {
			sum += c.Sizes[i-1]
		}
		return sum
	}, len(c.Sizes)+1)
}

// each calls visit for each row in use and its group.
func (c groupSpec) each(visit func(e, row int)) {
	row := 0
	for e, n := range c.Sizes {
		for range n {
			visit(e, row)
			row++
		}
	}
}

var groups = []groupSpec{
	{[]int{0, 0, 0}, 0, 5, 9}, {[]int{4}, 0, 17, 8}, {[]int{3, 0, 5, 1}, 0, 33, 17}, {[]int{0, 7, 8, 9, 0}, 4, 16, 31},
	{[]int{0, 0, 2}, 3, 65, 65}, {[]int{1, 1, 1, 1, 1, 1, 1, 1}, 0, 8, 129}, {[]int{40, 2, 33}, 1, 129, 40}, {[]int{2,
		1}, 0, 0, 3}, {[]int{2, 1}, 0, 3, 0},
}

func randomGroups(r *rand.Rand) groupSpec {
	c := groupSpec{Spare: r.IntN(3), P: size(r, 0), Q: size(r, 0)}
	for range 1 + r.IntN(6) {
		c.Sizes = append(c.Sizes, r.IntN(12)*r.IntN(2))
	}
	return c
}

type groupedMatMulSpec struct {
	groupSpec
	Packed bool
}

func groupedMatMulFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return groupedMatMulSpec{randomGroups(r), r.IntN(3) == 0} }}
	for _, g := range groups {
		f.cases = append(f.cases, groupedMatMulSpec{g, false}, groupedMatMulSpec{g, true})
	}
	g := groupSpec{[]int{64, 0, 100, 3, 37, 80, 120, 108}, 0, 1024, 256}
	f.bench = []spec{groupedMatMulSpec{g, false}, groupedMatMulSpec{g, true}}
	return f
}

func (groupedMatMulSpec) op() string { return "GroupedMatMul" }

func (c groupedMatMulSpec) build(s *setup) {
	m := c.rows()
	a := s.readWith("A", free, s.normal(1), m, c.P)
	b := s.matrixOperand("B", c.Packed, s.normal(1), len(c.Sizes), c.P, c.Q)
	out, offsets := s.write("C", free, m, c.Q), c.offsets(s)
	s.op = &backend.GroupedMatMul{C: out.view, A: a.view, B: s.matrix(b.view, c.Packed, backend.Native),
		Offsets: offsets.view}
	s.flops = 2 * float64((m-c.Spare)*c.P*c.Q)
	s.want = func() {
		c.each(func(e, row int) {
			p := product{a.vals, b.vals[e*c.P*c.Q:], c.P, c.Q}
			for j := range c.Q {
				sum, size := p.at(row, j)
				out.expect(row*c.Q+j, sum, terms(c.P)*size)
			}
		})
	}
}

type groupedOuterSpec struct{ groupSpec }

func groupedOuterFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return groupedOuterSpec{randomGroups(r)} }}
	for _, g := range groups {
		f.cases = append(f.cases, groupedOuterSpec{g})
	}
	f.gradient = []spec{groupedOuterSpec{groupSpec{[]int{2, 0, 3}, 1, 2, 3}}}
	f.bench = []spec{groupedOuterSpec{groupSpec{[]int{64, 0, 100, 3, 37, 80, 120, 108}, 0, 1024, 256}}}
	return f
}

func (groupedOuterSpec) op() string { return "GroupedOuter" }

func (c groupedOuterSpec) build(s *setup) {
	m, e := c.rows(), len(c.Sizes)
	a, b := s.read("A", free, m, c.P), s.read("B", free, m, c.Q)
	out, offsets := s.updateStat("C", free, e, c.P, c.Q), c.offsets(s)
	s.op = &backend.GroupedOuter{C: out.view, A: a.view, B: b.view, Offsets: offsets.view}
	s.flops = 2 * float64((m-c.Spare)*c.P*c.Q)
	s.want = func() {
		g, size := make([]float64, len(out.vals)), make([]float64, len(out.vals))
		c.each(func(e, row int) {
			for i := range c.P * c.Q {
				v := a.vals[row*c.P+i/c.Q] * b.vals[row*c.Q+i%c.Q]
				g[e*c.P*c.Q+i] += v
				size[e*c.P*c.Q+i] += math.Abs(v)
			}
		})
		at := 0
		for _, n := range c.Sizes {
			for range c.P * c.Q {
				if v := out.vals[at]; n > 0 { // the sum of an empty group must keep its value
					out.expect(at, v+g[at], terms(n)*(math.Abs(v)+size[at]))
				} else {
					out.expect(at, v, 0)
				}
				at++
			}
		}
		// GroupedOuter(A, DC) is the gradient of GroupedMatMul(A, W) with respect to W.
		w := make([]float64, len(g))
		for i := range w {
			w[i] = s.rng.NormFloat64()
		}
		s.gradient("B of GroupedMatMul", w, g, func() float64 {
			loss := 0.0
			c.each(func(e, row int) {
				p := product{a.vals, w[e*c.P*c.Q:], c.P, c.Q}
				for j := range c.Q {
					sum, _ := p.at(row, j)
					loss += sum * b.vals[row*c.Q+j]
				}
			})
			return loss
		})
	}
}
