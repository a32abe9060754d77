package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type logSumExpSpec struct {
	N, V    int
	Entropy bool
	InvTemp float64
	Scale   float64 // standard deviation of the logits
}

func logSumExpFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return logSumExpSpec{size(r, 0), size(r, 1), r.IntN(2) == 0, 0.5 + r.Float64(), 3}
	}}
	for i, v := range edges[1:] {
		f.cases = append(f.cases, logSumExpSpec{1 + i%4, v, i%2 == 0, 1, 3})
	}
	f.cases = append(f.cases, logSumExpSpec{0, 9, true, 1, 3}, logSumExpSpec{2, 0, false, 1, 3}, logSumExpSpec{3, 50,
		true, 0.7, 1e4}, logSumExpSpec{3, 50, false, 0, 1},
		logSumExpSpec{2, backend.VocabChunk - 1, true, 1, 3}, logSumExpSpec{2, backend.VocabChunk, false, 1, 3},
		logSumExpSpec{2, 2*backend.VocabChunk + 1, true, 1.5, 3})
	f.bench = []spec{logSumExpSpec{64, 32768, true, 1, 3}}
	return f
}

func (logSumExpSpec) op() string { return "LogSumExp" }

func (c logSumExpSpec) build(s *setup) {
	gen := s.mix(c.Scale, 0, 0)
	if !c.Entropy { // a masked logit would add 0·∞ to the entropy
		gen = s.mix(c.Scale, 0, math.Inf(-1))
	}
	x := s.readWith("X", rows, gen, c.N, c.V)
	if c.InvTemp == 0 {
		x.store(s.normal(1))
	}
	lse := s.writeStat("LSE", flat, c.N)
	op := &backend.LogSumExp{LSE: lse.view, X: x.view, InvTemp: c.InvTemp}
	var entropy *operand
	if c.Entropy {
		entropy = s.writeStat("Entropy", flat, c.N)
		op.Entropy = entropy.view
	}
	s.op = op
	s.want = func() {
		for i := range c.N {
			p := newDistribution(x.vals[i*c.V:][:c.V], c.InvTemp, 0)
			lse.expect(i, p.lse, p.lseBound())
			if entropy != nil {
				entropy.expect(i, p.entropy(), p.entropyBound())
			}
		}
	}
}

// distribution is softmax(logits·invTemp).
type distribution struct {
	z, p []float64
	lse  float64
	size float64 // largest finite |z|
	err  float64 // largest error of a score, in units of roundoff
}

// newDistribution returns the distribution of logits whose own error is err units of
// roundoff.
func newDistribution(logits []float64, invTemp, err float64) *distribution {
	d := &distribution{err: err}
	for _, x := range logits {
		z := x * invTemp
		d.z = append(d.z, z)
		if !math.IsInf(z, 0) {
			d.size = max(d.size, math.Abs(z))
		}
	}
	d.lse, d.p = logSumExp(d.z), softmax(d.z)
	d.err += d.size
	return d
}

func (d *distribution) lseBound() float64 {
	if math.IsInf(d.lse, 0) {
		return 0
	}
	return d.err + math.Abs(d.lse) + terms(len(d.z))
}

func (d *distribution) entropy() float64 { return d.lse - dot(d.p, d.z) }

func (d *distribution) entropyBound() float64 {
	return d.lseBound() * (1 + magnitude(d.p, d.z))
}
