package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

const normEps = 1e-6

type rmsNormSpec struct {
	N, D  int
	Scale float64 // standard deviation of the inputs
}

func rmsNormFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return rmsNormSpec{size(r, 0), size(r, 1), 1} }}
	for i, d := range edges[1:] {
		f.cases = append(f.cases, rmsNormSpec{1 + i%5, d, 1})
	}
	f.cases = append(f.cases, rmsNormSpec{0, 8, 1}, rmsNormSpec{3, 64, 1e15}, rmsNormSpec{3, 64, 1e-15},
		rmsNormSpec{70, 1024, 1}, rmsNormSpec{3, 1025, 1})
	f.bench = []spec{rmsNormSpec{512, 1024, 1}}
	return f
}

func (rmsNormSpec) op() string { return "RMSNorm" }

func (c rmsNormSpec) build(s *setup) {
	x, w := s.readWith("X", rows, s.normal(c.Scale), c.N, c.D), s.readStat("W", flat, c.D)
	y, rstd := s.write("Y", rows, c.N, c.D), s.writeStat("Rstd", flat, c.N)
	s.op = &backend.RMSNorm{Y: y.view, Rstd: rstd.view, X: x.view, W: w.view, Eps: normEps}
	s.flops = 4 * float64(c.N*c.D)
	s.want = func() {
		wantY, wantRstd := rmsNorm(x.vals, w.vals, c.N)
		for i, r := range wantRstd {
			rstd.expect(i, r, terms(c.D)*r)
		}
		for i, v := range wantY {
			y.expect(i, v, terms(c.D)*math.Abs(v))
		}
	}
}

func rmsNorm(x, w []float64, n int) (y, rstd []float64) {
	d := len(w)
	y, rstd = make([]float64, n*d), make([]float64, n)
	for i := range n {
		row := x[i*d:][:d]
		rstd[i] = 1 / math.Sqrt(dot(row, row)/float64(d)+normEps)
		for j, v := range row {
			y[i*d+j] = v * w[j] * rstd[i]
		}
	}
	return y, rstd
}

type rmsNormGradSpec struct {
	N, D int
	NoDW bool
}

func rmsNormGradFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return rmsNormGradSpec{size(r, 0), size(r, 1),
			r.IntN(3) == 0}
	}}
	for i, d := range edges[1:] {
		f.cases = append(f.cases, rmsNormGradSpec{1 + i%5, d, i%4 == 3})
	}
	f.cases = append(f.cases, rmsNormGradSpec{N: 0, D: 8}, rmsNormGradSpec{N: 300, D: 33}, rmsNormGradSpec{N: 70, D: 1024},
		rmsNormGradSpec{N: 3, D: 1025})
	f.gradient = []spec{rmsNormGradSpec{N: 3, D: 7}}
	f.bench = []spec{rmsNormGradSpec{N: 512, D: 1024}}
	return f
}

func (rmsNormGradSpec) op() string { return "RMSNormGrad" }

func (c rmsNormGradSpec) build(s *setup) {
	x, w, dy := s.read("X", rows, c.N, c.D), s.readStat("W", flat, c.D), s.read("DY", rows, c.N, c.D)
	_, r := rmsNorm(x.vals, w.vals, c.N)
	rstd := s.readStatWith("Rstd", flat, func(i int) float64 { return r[i] }, c.N)
	dx := s.write("DX", rows, c.N, c.D)
	op := &backend.RMSNormGrad{DX: dx.view, DY: dy.view, X: x.view, W: w.view, Rstd: rstd.view}
	var dw *operand
	if !c.NoDW {
		dw = s.updateStat("DW", flat, c.D)
		op.DW = dw.view
	}
	s.op = op
	s.flops = 8 * float64(c.N*c.D)
	s.want = func() {
		gx, gw, sizeW := make([]float64, c.N*c.D), make([]float64, c.D), make([]float64, c.D)
		for i, r := range rstd.vals {
			u, xHat := make([]float64, c.D), make([]float64, c.D)
			for j := range c.D {
				at := i*c.D + j
				u[j], xHat[j] = w.vals[j]*dy.vals[at], x.vals[at]*r
				gw[j] += dy.vals[at] * xHat[j]
				sizeW[j] += math.Abs(dy.vals[at] * xHat[j])
			}
			mean, size := dot(u, xHat)/float64(c.D), magnitude(u, xHat)/float64(c.D)
			for j := range c.D {
				gx[i*c.D+j] = r * (u[j] - xHat[j]*mean)
				dx.expect(i*c.D+j, gx[i*c.D+j], terms(c.D)*r*(math.Abs(u[j])+math.Abs(xHat[j])*size))
			}
		}
		for j := 0; dw != nil && j < c.D; j++ {
			dw.expect(j, dw.vals[j]+gw[j], terms(c.N)*(math.Abs(dw.vals[j])+sizeW[j]))
		}
		loss := func() float64 { y, _ := rmsNorm(x.vals, w.vals, c.N); return dot(y, dy.vals) }
		s.gradient("X", x.vals, gx, loss)
		s.gradient("W", w.vals, gw, loss)
	}
}
