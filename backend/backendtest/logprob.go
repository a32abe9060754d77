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
	Format  backend.Format
	Packed  bool
}

func linearLogProbCases() []linearLogProbSpec {
	var list []linearLogProbSpec
	for i, v := range edges[1:] {
		list = append(list, linearLogProbSpec{N: 1 + i%4, D: 1 + i*3, V: v, Entropy: i%2 == 0, InvTemp: 0.8,
			Packed: i%3 == 0})
	}
	list = append(list, linearLogProbSpec{N: 5, D: 0, V: 33, Entropy: true, InvTemp: 1})
	for _, n := range []int{0, 47, 49} {
		list = append(list, linearLogProbSpec{N: n, D: 9, V: 20, Entropy: true, InvTemp: 1})
	}
	return append(list,
		linearLogProbSpec{N: 2, D: 17, V: 2*backend.VocabChunk + 3, Entropy: true, InvTemp: 1},
		linearLogProbSpec{N: 300, D: 8, V: 33, InvTemp: 1.3})
}

func randomLinearLogProb(r *rand.Rand) linearLogProbSpec {
	return linearLogProbSpec{
		N: size(r, 0), D: size(r, 0), V: size(r, 1), Entropy: r.IntN(2) == 0, InvTemp: 0.5 + r.Float64(),
		Packed: r.IntN(3) == 0,
	}
}

func linearLogProbFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return randomLinearLogProb(r) }}
	for _, c := range linearLogProbCases() {
		f.cases = append(f.cases, c)
	}
	f.bench = []spec{linearLogProbSpec{N: 128, D: 512, V: 16384, Entropy: true, InvTemp: 1}}
	return f
}

func (linearLogProbSpec) op() string { return "LinearLogProb" }

// formatLogProbSpec is LinearLogProb in a format other than Native.
type formatLogProbSpec struct{ linearLogProbSpec }

func formatLogProbFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := randomLinearLogProb(r)
		c.Format = formats[r.IntN(len(formats))]
		return formatLogProbSpec{c}
	}}
	for _, format := range formats {
		for _, packed := range []bool{false, true} {
			for _, c := range []linearLogProbSpec{
				{N: 2, D: 17, V: 2*backend.VocabChunk + 3, Entropy: true, InvTemp: 1},
				{N: 300, D: 8, V: 33, InvTemp: 1.3}, {N: 5, D: 0, V: 33, Entropy: true, InvTemp: 1},
				{N: 0, D: 9, V: 20, Entropy: true, InvTemp: 1}, {N: 3, D: 130, V: 300, Entropy: true, InvTemp: 0.8},
			} {
				c.Format, c.Packed = format, packed
				f.cases = append(f.cases, formatLogProbSpec{c})
			}
		}
	}
	return f
}

func (formatLogProbSpec) noF64() {}

// formatLogProbGradSpec is LinearLogProbGrad in a format that trains, other than Native.
type formatLogProbGradSpec struct{ linearLogProbGradSpec }

func formatLogProbGradFamily() family {
	trains := trainable()
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := linearLogProbGradFamily().random(r).(linearLogProbGradSpec)
		c.Format = trains[r.IntN(len(trains))]
		return formatLogProbGradSpec{c}
	}}
	for _, c := range linearLogProbGradFamily().cases {
		for _, format := range trains {
			c := c.(linearLogProbGradSpec)
			c.Format = format
			f.cases = append(f.cases, formatLogProbGradSpec{c})
		}
	}
	return f
}

func (formatLogProbGradSpec) noF64() {}

// head has the operands of the output head.
type head struct {
	linearLogProbSpec
	x, w, target *operand
	matrix       backend.Matrix
	left, right  inexact // X and W in the format; row computes them when first called
}

func (c linearLogProbSpec) head(s *setup) *head {
	x, w := s.read("X", free, c.N, c.D), s.matrixOperand("W", c.Packed, s.normal(0.5), c.V, c.D)
	m := s.matrix(w.view.T(), c.Packed, c.Format)
	return &head{linearLogProbSpec: c, x: x, w: w, target: s.ints("Target", flat, s.below(-1, c.V), c.N), matrix: m}
}

// row returns the distribution of row i.
func (h *head) row(i int) *distribution {
	logits, err := make([]float64, h.V), 0.0
	x := h.x.vals[i*h.D:][:h.D]
	if h.Format != backend.Native && h.right.value == nil {
		h.left = leftOperand(h.Format, h.x.vals, h.N, h.D)
		h.right = rightOperand(h.Format, transposed(h.w.vals, h.V, h.D), h.D, h.V)
	}
	for v := range logits {
		if h.Format != backend.Native {
			sum, bound := h.left.dot(i, h.right, v)
			logits[v], err = sum, max(err, h.InvTemp*bound)
			continue
		}
		w := h.w.vals[v*h.D:][:h.D]
		logits[v] = dot(x, w)
		err = max(err, terms(h.D)*h.InvTemp*magnitude(x, w))
	}
	return newDistribution(logits, h.InvTemp, err)
}

func (c linearLogProbSpec) build(s *setup) {
	h := c.head(s)
	logProb, lse := s.writeStat("LogProb", flat, c.N), s.writeStat("LSE", flat, c.N)
	op := &backend.LinearLogProb{LogProb: logProb.view, LSE: lse.view, X: h.x.view, W: h.matrix, Target: h.target.view,
		InvTemp: c.InvTemp}
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

// leftRounded returns x as the left operand of a product in format f, which has no
// scales, and its error after rounding. bound is the error of x in units of F32 roundoff.
func leftRounded(f backend.Format, x, bound float64) (y, after float64) {
	if f == backend.Native {
		return x, bound
	}
	unit := slack * roundoff(backend.F32)
	y = rounded(f.Left, x)
	return y, max(rounded(f.Left, x+unit*bound)-y, y-rounded(f.Left, x-unit*bound)) / unit
}

type linearLogProbGradSpec struct {
	linearLogProbSpec
	NoDX, NoDW bool
}

func linearLogProbGradFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		c := linearLogProbGradSpec{randomLinearLogProb(r), r.IntN(4) == 0, r.IntN(4) == 0}
		c.Packed = false
		return c
	}}
	for i, c := range linearLogProbCases() {
		c.Packed = false
		f.cases = append(f.cases, linearLogProbGradSpec{c, i%5 == 1, i%5 == 3})
	}
	f.gradient = []spec{linearLogProbGradSpec{linearLogProbSpec{N: 4, D: 3, V: 5, Entropy: true, InvTemp: 0.7}, false,
		false}, linearLogProbGradSpec{linearLogProbSpec{N: 4, D: 3, V: 5, InvTemp: 1.2}, false, false}}
	f.bench = []spec{linearLogProbGradSpec{linearLogProbSpec{N: 128, D: 512, V: 16384, InvTemp: 1}, false, false}}
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
	op := &backend.LinearLogProbGrad{DLogProb: dlogProb.view, X: h.x.view, W: h.matrix, Target: h.target.view,
		LSE: lse.view, InvTemp: c.InvTemp}
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
				dz, bound = leftRounded(c.Format, c.InvTemp*dz, c.InvTemp*bound)
				for j := range c.D {
					w, x := h.w.vals[v*c.D+j], h.x.vals[i*c.D+j]
					if c.Format != backend.Native {
						w, x = rounded(c.Format.Element, w), rounded(c.Format.Element, x)
					}
					gx.add(i*c.D+j, dz*w, bound*math.Abs(w))
					gw.add(v*c.D+j, dz*x, bound*math.Abs(x))
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
