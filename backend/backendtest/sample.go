package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

type sampleSpec struct {
	N, V  int
	Scale float64 // standard deviation of the logits
	Spoil float64 // value, not finite, of one logit per row; 0 for none
}

func sampleFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return sampleSpec{N: r.IntN(12), V: size(r, 1), Scale: 2} }}
	for _, v := range edges[1:] {
		f.cases = append(f.cases, sampleSpec{9, v, 2, 0})
	}
	f.cases = append(f.cases, sampleSpec{0, 9, 2, 0}, sampleSpec{9, 20, 1e4, 0}, sampleSpec{40, 100, 1, 0},
		sampleSpec{6, backend.VocabChunk + 1, 3, 0}, sampleSpec{6, 2*backend.VocabChunk + 1, 3, 0},
		sampleSpec{40, 20, 2, math.NaN()}, sampleSpec{40, 20, 2, math.Inf(1)},
		sampleSpec{9, backend.VocabChunk + 1, 3, math.NaN()})
	f.bench = []spec{sampleSpec{16, 32768, 2, 0}}
	return f
}

func (sampleSpec) op() string { return "Sample" }

func (c sampleSpec) build(s *setup) {
	logit := s.mix(c.Scale, c.Scale, c.Scale, math.Inf(-1))
	x := s.operand("X", s.activation(), rows, false, []int{c.N, c.V}).store(func(i int) float64 {
		if i%c.V == 0 {
			return 0.5 // a row needs one finite logit
		}
		return logit(i)
	})
	seed := s.ints("Seed", flat, func(int) int { return int(int32(s.rng.Uint32())) }, c.N, 2)
	temperature := s.operand("Temperature", s.compute(), free, false,
		[]int{c.N}).store(func(int) float64 { return []float64{0, 0.6, 1, 1, 1.7}[s.rng.IntN(5)] })
	count := s.ints("TopK", free, func(int) int { return []int{0, 0, 1, 5, c.V, c.V + 1}[s.rng.IntN(6)] }, c.N)

	// A threshold so close to a partial sum that rounding decides has no single right
	// answer: it is drawn again.
	draws := make([]draw, c.N)
	topP := s.operand("TopP", s.compute(), free, false, []int{c.N}).store(func(i int) float64 {
		for {
			p := 1.0
			if s.rng.IntN(2) == 0 {
				p = float64(float32(s.rng.Float64()))
			}
			draws[i] = newDraw(x.vals[i*c.V:][:c.V], temperature.vals[i], int(count.vals[i]), p)
			if draws[i].margin > margin {
				return p
			}
		}
	})
	picked := make([]int, c.N)
	pos := s.ints("Pos", free, func(i int) int {
		key := uint64(uint32(int32(seed.vals[2*i+1])))<<32 | uint64(uint32(int32(seed.vals[2*i])))
		for pos := s.rng.IntN(1000); ; pos++ {
			word := backend.Philox(key, 0, uint64(pos))[0]
			token, gap := draws[i].pick(float64(word) * 0x1p-32)
			if gap > margin || temperature.vals[i] == 0 {
				picked[i] = token
				return pos
			}
		}
	}, c.N)
	token, logProb := s.writeInts("Token", free, c.N), s.writeStat("LogProb", free, c.N)
	s.op = &backend.Sample{
		Token: token.view, LogProb: logProb.view, X: x.view, Seed: seed.view, Pos: pos.view,
		TopK: count.view, Temperature: temperature.view, TopP: topP.view,
	}
	if c.Spoil != 0 {
		x.store(func(i int) float64 {
			if i%c.V == c.V/2 {
				return c.Spoil
			}
			return x.vals[i]
		})
		token.opaque = true // any token is accepted
	}
	s.want = func() {
		for i, t := range picked {
			if c.Spoil != 0 {
				logProb.expect(i, math.NaN(), 0)
				continue
			}
			d := draws[i].kept
			if temperature.vals[i] == 0 {
				t = topK(d.z, 1)[0]
			}
			token.expect(i, float64(t), 0)
			logProb.expect(i, d.z[t]-d.lse, 2*d.lseBound())
		}
	}
}

// margin is the smallest distance of a threshold from a partial sum of probabilities that
// F32 is assumed to resolve.
const margin = 2e-5

// draw is the distribution from which a token is drawn.
type draw struct {
	kept   *distribution // scores, −Inf for tokens that were filtered out
	margin float64       // distance of the top-p threshold from the nearest partial sum
}

func newDraw(logits []float64, temperature float64, count int, topP float64) draw {
	if temperature == 0 {
		return draw{newDistribution(logits, 1, 0), 1}
	}
	d := newDistribution(logits, 1/temperature, 0)
	order := topK(d.z, len(d.z))
	keep := func(n int) {
		order = order[:n]
		z := slices.Repeat([]float64{math.Inf(-1)}, len(d.z))
		for _, v := range order {
			z[v] = d.z[v]
		}
		d = newDistribution(z, 1, d.err)
	}
	if count > 0 && count < len(order) {
		keep(count)
	}
	gap := 1.0
	if topP < 1 {
		mass, n := 0.0, 0
		for n == 0 || n < len(order) && mass < topP {
			mass += d.p[order[n]]
			gap = min(gap, math.Abs(mass-topP))
			n++
		}
		keep(n)
	}
	return draw{d, gap}
}

// pick returns the first token at which the mass exceeds u, and the distance of u from
// the nearest partial sum below 1.
func (d draw) pick(u float64) (token int, gap float64) {
	mass, gap, token := 0.0, 1.0, -1
	for v, p := range d.kept.p {
		if p == 0 {
			continue
		}
		mass += p
		if token < 0 || mass < 1-1e-9 {
			gap = min(gap, math.Abs(mass-u))
		}
		if token < 0 && mass > u {
			token = v
		}
	}
	return token, gap
}
