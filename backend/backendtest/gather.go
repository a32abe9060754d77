package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// tableSpec is a case of an op with N indices into a table of R rows and D columns.
type tableSpec struct{ N, R, D int }

func randomTable(r *rand.Rand) tableSpec { return tableSpec{size(r, 0), size(r, 1), size(r, 0)} }

var tables = []tableSpec{{0, 3, 4}, {3, 1, 0}, {1, 1, 1}, {7, 3, 8}, {40, 9, 17}, {5, 30, 33}, {9, 16, 129}, {300,
	7, 9}, {20, 5, 1025}}

// gatherSpec gathers elements of any dtype.
type gatherSpec struct {
	tableSpec
	DType, To backend.DType
}

func gatherFamily() family {
	var f family
	for _, dt := range copied {
		for _, t := range tables {
			f.cases = append(f.cases, gatherSpec{t, dt, dt})
		}
	}
	for _, t := range tables {
		f.cases = append(f.cases, gatherSpec{t, backend.F32, backend.BF16}, gatherSpec{t, backend.BF16, backend.F32})
	}
	f.random = func(r *rand.Rand) spec {
		if r.IntN(4) == 0 {
			return gatherSpec{randomTable(r), backend.F32, backend.BF16}
		}
		dt := copied[r.IntN(len(copied))]
		return gatherSpec{randomTable(r), dt, dt}
	}
	f.bench = []spec{gatherSpec{tableSpec{512, 4096, 1024}, backend.F32, backend.F32}}
	return f
}

func (gatherSpec) op() string { return "Gather" }

func (c gatherSpec) dtype() backend.DType {
	if c.DType == backend.F64 {
		return backend.F64
	}
	return backend.F32
}

func (c gatherSpec) build(s *setup) {
	x := s.operand("X", c.DType, free, true, []int{c.R, c.D}).store(s.mix(100, math.NaN(), 1e30, 3))
	if c.DType == backend.I32 {
		x.store(s.normal(100))
	}
	index := s.ints("Index", free, s.below(-1, c.R), c.N)
	y := s.operand("Y", c.To, free, false, []int{c.N, c.D})
	s.op = &backend.Gather{Y: y.view, X: x.view, Index: index.view}
	s.untouched = float64(max(c.R-c.N, 0) * c.D * c.DType.Size())
	s.want = func() {
		for i, r := range index.vals {
			for j := range c.D {
				v := 0.0
				if r >= 0 {
					v = x.vals[int(r)*c.D+j]
				}
				y.expect(i*c.D+j, c.To.Round(v), 0)
			}
		}
	}
}

type scatterSpec struct {
	tableSpec
	Add bool
}

func scatterFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return scatterSpec{randomTable(r), r.IntN(2) == 0} }}
	for _, t := range tables {
		f.cases = append(f.cases, scatterSpec{t, false}, scatterSpec{t, true})
	}
	f.bench = []spec{scatterSpec{tableSpec{512, 4096, 1024}, false}, scatterSpec{tableSpec{512, 4096, 1024}, true}}
	return f
}

func (c scatterSpec) op() string {
	if c.Add {
		return "ScatterAdd"
	}
	return "Scatter"
}

func (c scatterSpec) build(s *setup) {
	x, update := s.read("X", free, c.N, c.D), s.update
	if c.Add { // sums must not be in BF16
		update = s.updateStat
	}
	y := update("Y", free, c.R, c.D)
	index := s.ints("Index", free, s.below(-1, c.R), c.N)
	s.op = &backend.Scatter{Y: y.view, X: x.view, Index: index.view, Add: c.Add}
	s.untouched = 2 * float64(max(c.R-c.N, 0)*c.D*y.view.DType.Size())
	if !c.Add { // rows that are written are not read
		s.untouched += float64(min(c.N, c.R) * c.D * y.view.DType.Size())
	}
	s.want = func() {
		want, size := append([]float64(nil), y.vals...), make([]float64, len(y.vals))
		written := make([]bool, len(y.vals))
		for i, v := range want {
			size[i] = math.Abs(v)
		}
		for i, r := range index.vals {
			for j := 0; r >= 0 && j < c.D; j++ {
				at, v := int(r)*c.D+j, x.vals[i*c.D+j]
				if !c.Add {
					want[at], size[at] = 0, 0
				}
				want[at] += v
				size[at] += math.Abs(v)
				written[at] = true
			}
		}
		for i, w := range written {
			if !w {
				continue // the element must keep its bits
			}
			if c.Add {
				y.expect(i, want[i], terms(c.N)*size[i])
			} else {
				y.expect(i, want[i], 0)
			}
		}
	}
}

// pickSpec is a case of picking K of E columns in each of N rows.
type pickSpec struct{ N, E, K int }

var picks = []pickSpec{{0, 3, 2}, {3, 5, 0}, {1, 1, 1}, {4, 9, 3}, {17, 33, 8}, {5, 300, 1}}

var benchPick = pickSpec{4096, 256, 8}

func randomPick(r *rand.Rand) pickSpec { return pickSpec{r.IntN(9), size(r, 1), size(r, 0)} }

type gatherLastSpec struct{ pickSpec }

func gatherLastFamily() family {
	f := family{random: func(r *rand.Rand) spec { return gatherLastSpec{randomPick(r)} }}
	for _, p := range picks {
		f.cases = append(f.cases, gatherLastSpec{p})
	}
	f.bench = []spec{gatherLastSpec{benchPick}}
	return f
}

func (gatherLastSpec) op() string { return "GatherLast" }

func (c gatherLastSpec) build(s *setup) {
	x, y := s.readWith("X", free, s.mix(1, math.NaN()), c.N, c.E), s.write("Y", free, c.N, c.K)
	index := s.ints("Index", free, s.below(-1, c.E), c.N, c.K)
	s.op = &backend.GatherLast{Y: y.view, X: x.view, Index: index.view}
	s.untouched = float64(c.N * max(c.E-c.K, 0) * x.view.DType.Size())
	s.want = func() {
		for i, e := range index.vals {
			v := 0.0
			if e >= 0 {
				v = x.vals[i/c.K*c.E+int(e)]
			}
			y.expect(i, v, 0)
		}
	}
}

type scatterLastSpec struct{ pickSpec }

func scatterLastFamily() family {
	f := family{random: func(r *rand.Rand) spec { return scatterLastSpec{randomPick(r)} }}
	for _, p := range picks {
		f.cases = append(f.cases, scatterLastSpec{p})
	}
	f.bench = []spec{scatterLastSpec{benchPick}}
	return f
}

func (scatterLastSpec) op() string { return "ScatterLast" }

func (c scatterLastSpec) build(s *setup) {
	x, y := s.read("X", free, c.N, c.K), s.update("Y", free, c.N, c.E)
	index := s.ints("Index", free, s.below(-1, c.E), c.N, c.K)
	s.op = &backend.ScatterLast{Y: y.view, X: x.view, Index: index.view}
	s.untouched = 2 * float64(c.N*max(c.E-c.K, 0)*y.view.DType.Size())
	s.want = func() {
		want, size := append([]float64(nil), y.vals...), make([]float64, len(y.vals))
		for i, e := range index.vals {
			if e >= 0 {
				at := i/c.K*c.E + int(e)
				want[at] += x.vals[i]
				size[at] += math.Abs(x.vals[i]) + math.Abs(y.vals[at])
				y.expect(at, want[at], terms(c.K)*size[at])
			}
		}
	}
}
