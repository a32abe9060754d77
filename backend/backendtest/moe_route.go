package backendtest

import (
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

// routeSpec describes N tokens in rows of D elements, each routed to K of E experts.
type routeSpec struct{ N, E, K, D int }

var routes = []routeSpec{{0, 4, 2, 8}, {1, 1, 1, 1}, {5, 4, 2, 9}, {7, 64, 6, 16}, {17, 8, 3, 33}, {40, 3, 1, 65},
	{9, 9, 9, 129}, {3, 300, 8, 1025}, {4, 5, 2, 0}}

func randomRoute(r *rand.Rand) routeSpec {
	e := 1 + r.IntN(20)
	return routeSpec{size(r, 0), e, 1 + r.IntN(e), size(r, 0)}
}

var benchRoute = routeSpec{512, 64, 6, 1024}

// experts draws K distinct experts for each token, in ascending order, from the first two
// thirds of the experts, or the first K if these are more. The others get no tokens.
func (c routeSpec) experts(s *setup) []int {
	var index []int
	for range c.N {
		list := s.rng.Perm(max(c.K, c.E*2/3))[:c.K]
		slices.Sort(list)
		index = append(index, list...)
	}
	return index
}

// slots sorts the assignments by expert: perm[slot] is an assignment, and
// inverse[assignment] is its slot.
func (c routeSpec) slots(index []int) (offsets, perm, inverse []int) {
	perm = make([]int, len(index))
	for i := range perm {
		perm[i] = i
	}
	slices.SortStableFunc(perm, func(a, b int) int { return index[a] - index[b] })
	inverse = make([]int, len(index))
	for slot, a := range perm {
		inverse[a] = slot
	}
	offsets = make([]int, c.E+1)
	for _, e := range index {
		for i := e + 1; i <= c.E; i++ {
			offsets[i]++
		}
	}
	return offsets, perm, inverse
}

type moeRouteSpec struct{ routeSpec }

func moeRouteFamily() family {
	f := family{random: func(r *rand.Rand) spec { return moeRouteSpec{randomRoute(r)} },
		bench: []spec{moeRouteSpec{benchRoute}}}
	for _, c := range routes {
		f.cases = append(f.cases, moeRouteSpec{c})
	}
	return f
}

func (moeRouteSpec) op() string           { return "MoERoute" }
func (moeRouteSpec) dtype() backend.DType { return backend.F32 }

func (c moeRouteSpec) build(s *setup) {
	list := c.experts(s)
	index := s.ints("Index", flat, func(i int) int { return list[i] }, c.N, c.K)
	offsets, perm, inverse := s.writeInts("Offsets", flat, c.E+1), s.writeInts("Perm", flat, c.N*c.K),
		s.writeInts("Inverse", flat, c.N, c.K)
	s.op = &backend.MoERoute{Offsets: offsets.view, Perm: perm.view, Inverse: inverse.view, Index: index.view}
	s.want = func() {
		o, p, v := c.slots(list)
		for i := range o {
			offsets.expect(i, float64(o[i]), 0)
		}
		for i := range p {
			perm.expect(i, float64(p[i]), 0)
			inverse.expect(i, float64(v[i]), 0)
		}
	}
}

type moeDispatchSpec struct{ routeSpec }

func moeDispatchFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return moeDispatchSpec{randomRoute(r)} },
		bench: []spec{moeDispatchSpec{benchRoute}}}
	for _, c := range routes {
		f.cases = append(f.cases, moeDispatchSpec{c})
	}
	return f
}

func (moeDispatchSpec) op() string { return "MoEDispatch" }

func (c moeDispatchSpec) build(s *setup) {
	_, slots, _ := c.slots(c.experts(s))
	x := s.operand("X", s.dt, rows, true, []int{c.N, c.D}).store(s.normal(1))
	y := s.operand("Y", s.dt, rows, false, []int{c.N * c.K, c.D})
	perm := s.ints("Perm", flat, func(i int) int { return slots[i] }, c.N*c.K)
	s.op = &backend.MoEDispatch{Y: y.view, X: x.view, Perm: perm.view}
	s.want = func() {
		for slot, a := range slots {
			for j := range c.D {
				y.expect(slot*c.D+j, x.vals[a/c.K*c.D+j], 0)
			}
		}
	}
}

type moeCombineSpec struct {
	routeSpec
	Plain bool // Weight is absent
}

func moeCombineFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return moeCombineSpec{randomRoute(r), r.IntN(3) == 0} },
		bench: []spec{moeCombineSpec{benchRoute, false}}}
	for _, c := range routes {
		f.cases = append(f.cases, moeCombineSpec{c, false}, moeCombineSpec{c, true})
	}
	f.gradient = []spec{moeCombineSpec{routeSpec{3, 4, 2, 5}, true}}
	return f
}

func (moeCombineSpec) op() string { return "MoECombine" }

// slotted makes the Inverse operand of random routes.
func (c routeSpec) slotted(s *setup) (inverse *operand, slots []int) {
	_, _, slots = c.slots(c.experts(s))
	return s.ints("Inverse", flat, func(i int) int { return slots[i] }, c.N, c.K), slots
}

func (c moeCombineSpec) build(s *setup) {
	inverse, slots := c.slotted(s)
	x, y := s.read("X", rows, c.N*c.K, c.D), s.write("Y", rows, c.N, c.D)
	op := &backend.MoECombine{Y: y.view, X: x.view, Inverse: inverse.view}
	weight := make([]float64, c.N*c.K)
	for i := range weight {
		weight[i] = 1
	}
	if !c.Plain {
		w := s.readStat("Weight", flat, c.N, c.K)
		op.Weight, weight = w.view, w.vals
	}
	s.op = op
	s.flops = 2 * float64(c.N*c.K*c.D)
	s.want = func() {
		out := newSum(c.N * c.D)
		for a, slot := range slots {
			for j := range c.D {
				out.add(a/c.K*c.D+j, weight[a]*x.vals[slot*c.D+j], 0)
			}
		}
		out.expect(y)
		// The unweighted sum is the gradient of MoEDispatch if X is the gradient of its
		// result.
		input := make([]float64, c.N*c.D)
		s.gradient("X of MoEDispatch", input, out.value, func() float64 {
			loss := 0.0
			for a, slot := range slots {
				for j := range c.D {
					loss += input[a/c.K*c.D+j] * x.vals[slot*c.D+j]
				}
			}
			return loss
		})
	}
}

type moeCombineGradSpec struct{ routeSpec }

func moeCombineGradFamily() family {
	f := family{
		bf16:     true,
		random:   func(r *rand.Rand) spec { return moeCombineGradSpec{randomRoute(r)} },
		gradient: []spec{moeCombineGradSpec{routeSpec{3, 4, 2, 5}}},
		bench:    []spec{moeCombineGradSpec{benchRoute}},
	}
	for _, c := range routes {
		f.cases = append(f.cases, moeCombineGradSpec{c})
	}
	return f
}

func (moeCombineGradSpec) op() string { return "MoECombineGrad" }

func (c moeCombineGradSpec) build(s *setup) {
	inverse, slots := c.slotted(s)
	dy, x, weight := s.read("DY", rows, c.N, c.D), s.read("X", rows, c.N*c.K, c.D), s.readStat("Weight", flat, c.N, c.K)
	dx, dweight := s.write("DX", rows, c.N*c.K, c.D), s.writeStat("DWeight", flat, c.N, c.K)
	s.op = &backend.MoECombineGrad{DX: dx.view, DWeight: dweight.view, DY: dy.view, X: x.view, Weight: weight.view,
		Inverse: inverse.view}
	s.flops = 3 * float64(c.N*c.K*c.D)
	s.want = func() {
		gx, gw := newSum(len(x.vals)), newSum(len(weight.vals))
		for a, slot := range slots {
			for j := range c.D {
				g := dy.vals[a/c.K*c.D+j]
				gx.add(slot*c.D+j, weight.vals[a]*g, 0)
				gw.add(a, g*x.vals[slot*c.D+j], 0)
			}
		}
		gx.expect(dx)
		gw.expect(dweight)
		loss := func() float64 {
			sum := 0.0
			for a, slot := range slots {
				sum += weight.vals[a] * dot(x.vals[slot*c.D:][:c.D], dy.vals[a/c.K*c.D:][:c.D])
			}
			return sum
		}
		s.gradient("X", x.vals, gx.value, loss)
		s.gradient("Weight", weight.vals, gw.value, loss)
	}
}
