package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type adamWSpec struct {
	Shape []int
	Step  int
	BF16  bool // moments are stored in BF16
}

func adamWFamily() family {
	f := family{random: func(r *rand.Rand) spec { return adamWSpec{[]int{size(r, 0)}, 1 + r.IntN(1000), r.IntN(2) == 0} }}
	for i, n := range edges {
		f.cases = append(f.cases, adamWSpec{[]int{n}, 1 + i*i*i, false}, adamWSpec{[]int{n}, 1 + i, true})
	}
	f.cases = append(f.cases, adamWSpec{[]int{3, 5, 7}, 10, false}, adamWSpec{[]int{4097}, 2, true},
		adamWSpec{[]int{5000}, 3, false})
	f.bench = []spec{adamWSpec{[]int{1024, 1024}, 10, false}, adamWSpec{[]int{1024, 1024}, 10, true}}
	return f
}

func (adamWSpec) op() string { return "AdamW" }

func (c adamWSpec) build(s *setup) {
	const lr, factor, beta1, beta2, eps, decay, gradScale = 0.01, 0.5, 0.9, 0.95, 1e-8, 0.1, 0.25
	moments := s.dt
	if c.BF16 && s.dt == backend.F32 {
		moments = backend.BF16
	}
	w := s.update("W", flat, c.Shape...)
	g := s.readWith("G", flat, s.mix(1, 0, 1e4, 1e-4), c.Shape...)
	m := s.operand("M", moments, flat, false, c.Shape).store(s.normal(0.1))
	v := s.operand("V", moments, flat, false, c.Shape).store(func(int) float64 { return 0.01 * s.rng.ExpFloat64() })
	at := s.operand("At", backend.F64, flat, false, []int{3}).store(func(i int) float64 {
		return []float64{float64(c.Step), factor, gradScale}[i]
	})
	s.op = &backend.AdamW{
		W: w.view, G: g.view, M: m.view, V: v.view, At: at.view,
		LR: lr / factor, Beta1: beta1, Beta2: beta2, Eps: eps, WeightDecay: decay,
	}
	s.want = func() {
		t := float64(c.Step)
		for i, x := range w.vals {
			d := g.vals[i] * gradScale
			newM, newV := beta1*m.vals[i]+(1-beta1)*d, beta2*v.vals[i]+(1-beta2)*d*d
			sizeM := math.Abs(beta1*m.vals[i]) + math.Abs((1-beta1)*d)
			denominator := math.Sqrt(newV/(1-math.Pow(beta2, t))) + eps
			step := newM / (1 - math.Pow(beta1, t)) / denominator
			sizeStep := sizeM / (1 - math.Pow(beta1, t)) / denominator
			w.expect(i, x-lr*(step+decay*x), math.Abs(x)+lr*(8*sizeStep+4*math.Abs(decay*x)))
			m.expect(i, newM, 4*sizeM)
			v.expect(i, newV, 4*newV)
		}
	}
}
