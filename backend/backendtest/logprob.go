package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

type linearLogProbSpec struct {
	N, D, V int
	Entropy bool
	InvTemp float64
}

func linearLogProbCases() []linearLogProbSpec {
	var list []linearLogProbSpec
	for i, v := range edges[1:] {
		list = append(list, linearLogProbSpec{1 + i%4, 1 + i*3, v, i%2 == 0, 0.8})
	}
	list = append(list, linearLogProbSpec{5, 0, 33, true, 1})
	for _, n := range []int{0, 47, 49} {
		list = append(list, linearLogProbSpec{n, 9, 20, true, 1})
	}
	return append(list, linearLogProbSpec{2, 17, 2*backend.VocabChunk + 3, true, 1}, linearLogProbSpec{300, 8, 33, false, 1.3})
}

func randomLinearLogProb(r *rand.Rand) linearLogProbSpec {
	return linearLogProbSpec{size(r, 0), size(r, 0), size(r, 1), r.IntN(2) == 0, 0.5 + r.Float64()}
}

func linearLogProbFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return randomLinearLogProb(r) }}
	for _, c := range linearLogProbCases() {
		f.cases = append(f.cases, c)
	}
	f.bench = []spec{linearLogProbSpec{128, 512, 16384, true, 1}}
	return f
}

func (linearLogProbSpec) op() string { return "LinearLogProb" }

// head is the output head's operands.
type head struct {
	linearLogProbSpec
	x, w, target *operand
}

func (c linearLogProbSpec) head(s *setup) *head {
	x, w := s.read("X", free, c.N, c.D), s.matrixOperand("W", false, s.normal(0.5), c.V, c.D)
	return &head{c, x, w, s.ints("Target", flat, s.below(-1, c.V), c.N)}
}

// row is the distribution of row i.
func (h *head) row(i int) *distribution {
	logits, err := make([]float64, h.V), 0.0
	x := h.x.vals[i*h.D:][:h.D]
	for v := range logits {
		w := h.w.vals[v*h.D:][:h.D]
		logits[v] = dot(x, w)
		err = max(err, terms(h.D)*h.InvTemp*magnitude(x, w))
	}
	return newDistribution(logits, h.InvTemp, err)
}

func (c linearLogProbSpec) build(s *setup) {
	h := c.head(s)
	logProb, lse := s.writeStat("LogProb", flat, c.N), s.writeStat("LSE", flat, c.N)
	op := &backend.LinearLogProb{LogProb: logProb.view, LSE: lse.view, X: h.x.view, W: h.w.view, Target: h.target.view, InvTemp: c.InvTemp}
	var entropy *operand
	if c.Entropy {
		entropy = s.writeStat("Entropy", flat, c.N)
		op.Entropy = entropy.view
	}
	s.op = op
	s.flops = 2 * float64(c.N*c.D*c.V)
	s.want = func() {
		for i := range c.N {
			p := h.row(i)
			lse.expect(i, p.lse, p.lseBound())
			if t := int(h.target.vals[i]); t < 0 {
				logProb.expect(i, 0, 0)
			} else {
				logProb.expect(i, p.z[t]-p.lse, 2*p.lseBound())
			}
			if entropy != nil {
				entropy.expect(i, p.entropy(), p.entropyBound())
			}
		}
	}
}

type linearLogProbGradSpec struct {
	linearLogProbSpec
	NoDX, NoDW bool
}

func linearLogProbGradFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return linearLogProbGradSpec{randomLinearLogProb(r), r.IntN(4) == 0, r.IntN(4) == 0}
	}}
	for i, c := range linearLogProbCases() {
		f.cases = append(f.cases, linearLogProbGradSpec{c, i%5 == 1, i%5 == 3})
	}
	f.gradient = []spec{linearLogProbGradSpec{linearLogProbSpec{4, 3, 5, true, 0.7}, false, false}, linearLogProbGradSpec{linearLogProbSpec{4, 3, 5, false, 1.2}, false, false}}
	f.bench = []spec{linearLogProbGradSpec{linearLogProbSpec{128, 512, 16384, false, 1}, false, false}}
	return f
}

func (linearLogProbGradSpec) op() string { return "LinearLogProbGrad" }

func (c linearLogProbGradSpec) build(s *setup) {
	h := c.head(s)
	var lses, entropies []float64
	for i := range c.N {
		p := h.row(i)
		lses, entropies = append(lses, p.lse), append(entropies, p.entropy())
	}
	lse := s.operand("LSE", s.compute(), flat, false, []int{c.N}).store(func(i int) float64 { return lses[i] })
	dlogProb := s.readStat("DLogProb", flat, c.N)
	op := &backend.LinearLogProbGrad{DLogProb: dlogProb.view, X: h.x.view, W: h.w.view, Target: h.target.view, LSE: lse.view, InvTemp: c.InvTemp}
	dentropy, entropy := make([]float64, c.N), make([]float64, c.N)
	if c.Entropy {
		de := s.readStat("DEntropy", flat, c.N)
		e := s.operand("Entropy", s.compute(), flat, false, []int{c.N}).store(func(i int) float64 { return entropies[i] })
		dentropy, entropy = de.vals, e.vals
		op.DEntropy, op.Entropy = de.view, e.view
	}
	var dx, dw *operand
	if !c.NoDX {
		dx = s.write("DX", rows, c.N, c.D)
		op.DX = dx.view
	}
	if !c.NoDW {
		dw = s.updateStat("DW", rows, c.V, c.D)
		op.DW = dw.view
	}
	s.op = op
	s.flops = 6 * float64(c.N*c.D*c.V)
	s.want = func() {
		gx, gw := newSum(c.N*c.D), newSum(c.V*c.D)
		for i, t := range h.target.vals {
			d := h.row(i)
			g := dlogProb.vals[i]
			if t < 0 {
				g = 0
			}
			for v, z := range d.z {
				p, away := math.Exp(z-lse.vals[i]), z-lse.vals[i]+entropy[i]
				dz := -p * (g + dentropy[i]*away)
				bound := d.lseBound() * p * (math.Abs(g) + math.Abs(dentropy[i])*(1+math.Abs(away)))
				if v == int(t) {
					dz += g
					bound += math.Abs(g)
				}
				for j := range c.D {
					gx.add(i*c.D+j, c.InvTemp*dz*h.w.vals[v*c.D+j], c.InvTemp*bound*math.Abs(h.w.vals[v*c.D+j]))
					gw.add(v*c.D+j, c.InvTemp*dz*h.x.vals[i*c.D+j], c.InvTemp*bound*math.Abs(h.x.vals[i*c.D+j]))
				}
			}
		}
		loss := func() float64 {
			sum := 0.0
			for i, t := range h.target.vals {
				d := h.row(i)
				if t >= 0 {
					sum += dlogProb.vals[i] * (d.z[int(t)] - d.lse)
				}
				sum += dentropy[i] * d.entropy()
			}
			return sum
		}
		s.gradient("X", h.x.vals, gx.value, loss)
		s.gradient("W", h.w.vals, slices.Clone(gw.value), loss)
		if dx != nil {
			gx.expect(dx)
		}
		if dw != nil {
			for i, v := range dw.vals {
				gw.add(i, v, 0)
			}
			gw.expect(dw)
		}
	}
}
