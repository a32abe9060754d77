package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// balanceSpec describes sequences of the given lengths whose tokens are routed to K of E
// experts.
type balanceSpec struct {
	Seqs []int
	E, K int
	Ties bool
}

const balanceCoef = 0.37

var balances = []balanceSpec{
	{[]int{}, 4, 2, false}, {[]int{1}, 1, 1, false}, {[]int{5, 9}, 8, 2, false}, {[]int{5, 0, 3}, 9, 3, true},
	{[]int{33}, 65, 6, false}, {[]int{1, 1, 1, 7}, 16, 16, false}, {[]int{100}, 257, 8, true},
	{[]int{2, 3}, 1025, 8, false},
}

func randomBalance(r *rand.Rand) balanceSpec {
	c := balanceSpec{E: 1 + r.IntN(40), Ties: r.IntN(2) == 0}
	c.K = 1 + r.IntN(c.E)
	for range r.IntN(5) {
		c.Seqs = append(c.Seqs, r.IntN(12))
	}
	return c
}

func sequenceBalanceFamily() family {
	f := family{random: func(r *rand.Rand) spec { return randomBalance(r) }}
	for _, c := range balances {
		f.cases = append(f.cases, c)
	}
	f.bench = []spec{balanceSpec{[]int{512, 512}, 256, 8, false}}
	return f
}

func (balanceSpec) op() string { return "SequenceBalance" }

// inputs makes the operands Scores [N, E], which are positive, and SeqStart.
func (c balanceSpec) inputs(s *setup) (scores, starts *operand) {
	n := 0
	for _, t := range c.Seqs {
		n += t
	}
	scores = s.readWith("Scores", flat, func(int) float64 {
		if c.Ties {
			return float64(1+s.rng.IntN(4)) / 4
		}
		return sigmoid(s.rng.NormFloat64())
	}, n, c.E)
	sum := 0
	starts = s.ints("SeqStart", flat, func(i int) int {
		if i > 0 {
			sum += c.Seqs[i-1]
		}
		return sum
	}, len(c.Seqs)+1)
	return scores, starts
}

// load returns f for each sequence (DeepSeek-V3 eq. 18).
func (c balanceSpec) load(scores []float64) [][]float64 {
	var load [][]float64
	t := 0
	for _, n := range c.Seqs {
		f := make([]float64, c.E)
		for range n {
			for _, e := range topK(scores[t*c.E:][:c.E], c.K) {
				f[e] += float64(c.E) / float64(c.K*n)
			}
			t++
		}
		load = append(load, f)
	}
	return load
}

// loss returns balanceCoef·Σ_s Σ_e f·P for the given f.
func (c balanceSpec) loss(scores []float64, load [][]float64) float64 {
	sum, t := 0.0, 0
	for i, n := range c.Seqs {
		for range n {
			row := scores[t*c.E:][:c.E]
			sum += balanceCoef * dot(load[i], row) / total(row) / float64(n)
			t++
		}
	}
	return sum
}

func total(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum
}

func (c balanceSpec) build(s *setup) {
	scores, starts := c.inputs(s)
	out := s.write("Loss", flat, 1)
	s.op = &backend.SequenceBalance{Loss: out.view, Scores: scores.view, SeqStart: starts.view, K: c.K, Coef: balanceCoef}
	s.want = func() {
		want := c.loss(scores.vals, c.load(scores.vals))
		out.expect(0, want, (terms(len(scores.vals))+terms(c.E))*want)
	}
}

type balanceGradSpec struct{ balanceSpec }

func sequenceBalanceGradFamily() family {
	f := family{
		random:   func(r *rand.Rand) spec { return balanceGradSpec{randomBalance(r)} },
		gradient: []spec{balanceGradSpec{balanceSpec{[]int{3, 2}, 4, 2, false}}},
		bench:    []spec{balanceGradSpec{balanceSpec{[]int{512, 512}, 256, 8, false}}},
	}
	for _, c := range balances {
		f.cases = append(f.cases, balanceGradSpec{c})
	}
	return f
}

func (balanceGradSpec) op() string { return "SequenceBalanceGrad" }

func (c balanceGradSpec) build(s *setup) {
	scores, starts := c.inputs(s)
	dloss := s.readWith("DLoss", free, s.normal(1), 1)
	dscores := s.write("DScores", flat, scores.view.Dims()...)
	s.op = &backend.SequenceBalanceGrad{DScores: dscores.view, DLoss: dloss.view, Scores: scores.view,
		SeqStart: starts.view, K: c.K, Coef: balanceCoef}
	s.want = func() {
		load := c.load(scores.vals)
		g := make([]float64, len(scores.vals))
		t := 0
		for i, n := range c.Seqs {
			for range n {
				row := scores.vals[t*c.E:][:c.E]
				sum := total(row)
				mean, factor := dot(load[i], row)/sum, dloss.vals[0]*balanceCoef/float64(n)/sum
				for e, f := range load[i] {
					g[t*c.E+e] = factor * (f - mean)
					dscores.expect(t*c.E+e, g[t*c.E+e], 2*terms(c.E)*math.Abs(factor)*(f+mean))
				}
				t++
			}
		}
		s.gradient("Scores", scores.vals, g, func() float64 { return dloss.vals[0] * c.loss(scores.vals, load) })
	}
}
