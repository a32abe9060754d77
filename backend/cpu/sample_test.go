package cpu

import (
	"math"
	"testing"

	"github.com/aha-go/aha/backend"
)

// draws samples n times from one row of logits, at successive positions.
func draws(s *bench, n int, logits []float64, temperature float64, topK int, topP float64) (tokens []int32,
	logProbs []float64) {
	row := s.values(logits, 1, len(logits))
	op := &backend.Sample{Token: s.ints(nil, n), LogProb: s.zeros(n), X: row.BroadcastTo(n, len(logits)),
		Seed: s.ints(nil, n, 2), Pos: s.ints(nil, n), TopK: s.ints(nil, n), Temperature: s.zeros(n), TopP: s.zeros(n)}
	s.do(&backend.Iota{Dst: op.Pos})
	for i := range n {
		data[int32](&op.Seed)[2*i], data[int32](&op.Seed)[2*i+1] = 12345, -6
		data[int32](&op.TopK)[i] = int32(topK)
		s.set(op.Temperature, i, temperature)
		s.set(op.TopP, i, topP)
	}
	s.do(op)
	return content[int32](op.Token), floats(op.LogProb)
}

// logs returns ln of each p.
func logs(p ...float64) []float64 {
	x := make([]float64, len(p))
	for i := range p {
		x[i] = math.Log(p[i])
	}
	return x
}

func TestSampleDrawsInProportionToProbability(t *testing.T) {
	const n = 20000
	const critical = 24.3 // 99.9% quantile of chi-square with 7 degrees of freedom
	p := []float64{.05, .3, .01, .14, .2, .1, .15, .05}
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		for _, temperature := range []float64{1, 2} {
			s := newBench(t, dt, 2, 9)
			tokens, _ := draws(s, n, logs(p...), temperature, 0, 1)
			var count, want [8]float64
			var sum float64
			for v, q := range p {
				want[v] = math.Pow(q, 1/temperature)
				sum += want[v]
			}
			for _, v := range tokens {
				count[v]++
			}
			var chi2 float64
			for v := range want {
				e := want[v] / sum * n
				chi2 += (count[v] - e) * (count[v] - e) / e
			}
			if chi2 > critical {
				t.Errorf("%s, temperature %v: chi-square %.1f above %v, counts %v", dt, temperature, chi2, critical, count)
			}
		}
	}
}

func TestSampleKeepsTheLikeliestTokens(t *testing.T) {
	inf := math.Inf(-1)
	for _, c := range []struct {
		name   string
		logits []float64
		topK   int
		topP   float64
		kept   []float64 // probability of each token after filtering, 0 where dropped
	}{
		{"nothing filtered", logs(.5, .2, .2, .1), 0, 1, []float64{.5, .2, .2, .1}},
		{"top-k beyond the vocabulary", logs(.5, .2, .2, .1), 9, 1, []float64{.5, .2, .2, .1}},
		{"top-k", logs(.1, .2, .5, .2), 1, 1, []float64{0, 0, 1, 0}},
		{"top-k ties go to the lowest id", logs(.1, .2, .5, .2), 2, 1, []float64{0, 2. / 7, 5. / 7, 0}},
		{"top-p below the largest", logs(.1, .2, .5, .2), 0, .3, []float64{0, 0, 1, 0}},
		{"top-p 0 keeps one", logs(.1, .2, .5, .2), 0, 0, []float64{0, 0, 1, 0}},
		{"top-p ties go to the lowest id", logs(.1, .2, .5, .2), 0, .6, []float64{0, 2. / 7, 5. / 7, 0}},
		{"top-p counts the mass that top-k left", logs(.5, .2, .2, .1), 3, .53, []float64{1, 0, 0, 0}},
		{"top-p of more than top-k left", logs(.5, .2, .2, .1), 2, .99, []float64{5. / 7, 2. / 7, 0, 0}},
		{"masked logits", []float64{inf, 0, inf, 0}, 0, 1, []float64{0, .5, 0, .5}},
		{"masked logits under top-p", []float64{inf, 0, inf, 0}, 3, .999, []float64{0, .5, 0, .5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range []backend.DType{backend.F32, backend.F64} {
				tokens, logProbs := draws(newBench(t, dt, 1, 10), 300, c.logits, 1, c.topK, c.topP)
				seen := make([]bool, len(c.kept))
				for i, v := range tokens {
					seen[v] = true
					if math.Abs(math.Exp(logProbs[i])-c.kept[v]) > 1e-6 {
						t.Fatalf("%s: token %d has probability %v, want %v", dt, v, math.Exp(logProbs[i]), c.kept[v])
					}
				}
				for v, p := range c.kept {
					if seen[v] != (p > 0) {
						t.Errorf("%s: token %d drawn: %v, want %v", dt, v, seen[v], p > 0)
					}
				}
			}
		})
	}
}

func TestSampleAtTemperatureZeroPicksTheFirstMaximum(t *testing.T) {
	s := newBench(t, backend.F64, 1, 11)
	tokens, logProbs := draws(s, 5, logs(.1, .35, .2, .35), 0, 2, .5)
	for i, v := range tokens {
		if v != 1 || math.Abs(math.Exp(logProbs[i])-.35) > 1e-12 {
			t.Errorf("token %d with probability %v, want 1 with 0.35", v, math.Exp(logProbs[i]))
		}
	}
}

// TestSampleInvertsTheCumulativeMass checks each sampled token against the
// uniform random number that the op's definition prescribes.
func TestSampleInvertsTheCumulativeMass(t *testing.T) {
	s := newBench(t, backend.F64, 1, 12)
	p := []float64{.1, .2, .3, .4}
	tokens, _ := draws(s, 500, logs(.1, .2, .3, .4), 1, 0, 1)
	high := int32(-6)
	key := uint64(uint32(high))<<32 | 12345
	for i, v := range tokens {
		u := float64(backend.Philox(key, 0, uint64(i))[0]) / (1 << 32)
		var mass float64
		for _, q := range p[:v] {
			mass += q
		}
		if u < mass-1e-9 || u > mass+p[v]+1e-9 {
			t.Fatalf("position %d: u = %v drew token %d, whose mass is %v to %v", i, u, v, mass, mass+p[v])
		}
	}
}

func TestRankingIsDescendingWithTiesByLowestID(t *testing.T) {
	s := newBench(t, backend.F64, 1, 13)
	z := make([]float64, 500)
	for i := range z {
		z[i] = float64(s.rng.IntN(40))
	}
	r := newRanking(z, make([]int32, len(z)))
	for n := 1; n < len(z); n++ {
		a, b := r.best(n-1), r.best(n)
		if z[a] < z[b] || z[a] == z[b] && a >= b {
			t.Fatalf("place %d: id %d of %v before id %d of %v", n, a, z[a], b, z[b])
		}
	}
}
