package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aha-go/aha/backend"
)

type moeGateSpec struct {
	N, E, K           int
	Groups, TopGroups int
	Softmax           bool // softmax scores instead of sigmoid
	GroupMax          bool // a group's score is its maximum instead of the sum of its top two
	Bias, Normalize   bool
	Spoil             float64 // value, not finite, of one bias or, without Bias, one logit per row; 0 for none
}

func moeGateCases() []moeGateSpec {
	var list []moeGateSpec
	for i, e := range []int{1, 4, 8, 9, 16, 31, 64, 65, 128, 256} {
		list = append(list, moeGateSpec{N: 5, E: e, K: min(e, 1+i), Groups: 1, TopGroups: 1, Softmax: i%2 == 0,
			Bias: i%3 > 0, Normalize: i%2 == 1})
	}
	return append(list,
		moeGateSpec{N: 40, E: 32, K: 6, Groups: 8, TopGroups: 3, Bias: true, Normalize: true},
		moeGateSpec{N: 40, E: 32, K: 6, Groups: 4, TopGroups: 2, Softmax: true, GroupMax: true},
		moeGateSpec{N: 9, E: 8, K: 2, Groups: 8, TopGroups: 4, Bias: true, Normalize: true},
		moeGateSpec{N: 9, E: 8, K: 8, Groups: 4, TopGroups: 4, GroupMax: true, Normalize: true},
		moeGateSpec{N: 0, E: 8, K: 2, Groups: 2, TopGroups: 1, Normalize: true},
		moeGateSpec{N: 3, E: 8, K: 0, Groups: 2, TopGroups: 1, Normalize: true})
}

// spoiledMoEGates returns cases with a logit or a bias that is not finite.
func spoiledMoEGates() (list []spec) {
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		for _, bias := range []bool{false, true} {
			list = append(list,
				moeGateSpec{N: 5, E: 16, K: 2, Groups: 1, TopGroups: 1, Bias: bias, Normalize: true, Spoil: x},
				moeGateSpec{N: 5, E: 16, K: 2, Groups: 4, TopGroups: 1, Bias: bias, Softmax: true, Spoil: x})
		}
	}
	return list
}

func randomMoEGate(r *rand.Rand) moeGateSpec {
	groups, each := 1+r.IntN(5), 1+r.IntN(9)
	c := moeGateSpec{N: size(r, 0), E: groups * each, Groups: groups, TopGroups: 1 + r.IntN(groups)}
	c.K = 1 + r.IntN(each*c.TopGroups)
	c.Softmax, c.GroupMax, c.Bias, c.Normalize = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	return c
}

func moeGateFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return randomMoEGate(r) }}
	for _, c := range moeGateCases() {
		f.cases = append(f.cases, c)
	}
	f.cases = append(f.cases, spoiledMoEGates()...)
	f.bench = []spec{moeGateSpec{N: 1024, E: 256, K: 8, Groups: 8, TopGroups: 4, Bias: true, Normalize: true}}
	return f
}

func (moeGateSpec) op() string { return "MoEGate" }

const routeScale = 2.5

func (c moeGateSpec) scoring() backend.Scoring {
	if c.Softmax {
		return backend.ScoreSoftmax
	}
	return backend.ScoreSigmoid
}

// score returns the affinities of one token.
func (c moeGateSpec) score(logits []float64) []float64 {
	if c.Softmax {
		return softmax(logits)
	}
	s := make([]float64, len(logits))
	for e, z := range logits {
		s[e] = sigmoid(z)
	}
	return s
}

// choose returns the experts of one token in ascending order.
func (c moeGateSpec) choose(s, bias []float64) []int {
	biased := slices.Clone(s)
	for e := range bias {
		biased[e] += bias[e]
	}
	each := c.E / c.Groups
	groups := make([]float64, c.Groups)
	for g := range groups {
		members := slices.Clone(biased[g*each:][:each])
		slices.Sort(members)
		groups[g] = members[each-1]
		if !c.GroupMax && each > 1 {
			groups[g] += members[each-2]
		}
	}
	kept := topK(groups, c.TopGroups)
	for e := range biased {
		if !slices.Contains(kept, e/each) {
			biased[e] = math.Inf(-1)
		}
	}
	chosen := topK(biased, c.K)
	slices.Sort(chosen)
	return chosen
}

// weigh returns the weights of the chosen experts of one token.
func (c moeGateSpec) weigh(s []float64, chosen []int) []float64 {
	total := 1.0
	if c.Normalize {
		total = 1e-20
		for _, e := range chosen {
			total += s[e]
		}
	}
	w := make([]float64, len(chosen))
	for i, e := range chosen {
		w[i] = s[e] / total * routeScale
	}
	return w
}

func (c moeGateSpec) build(s *setup) {
	// Logits and biases are on grids, so that there are many ties, but no two scores so
	// close that rounding decides their order. Without the offset, σ(x) + σ(−x) = 1 would
	// make near ties of groups.
	logits := s.readWith("Logits", rows, func(int) float64 { return float64(s.rng.IntN(48)-24)/8 + 0.0390625 }, c.N, c.E)
	weight, index, scores := s.writeStat("Weight", flat, c.N, c.K), s.writeInts("Index", flat, c.N, c.K),
		s.writeStat("Scores", flat, c.N, c.E)
	op := &backend.MoEGate{
		Weight: weight.view, Index: index.view, Scores: scores.view, Logits: logits.view,
		Scoring: c.scoring(), Groups: c.Groups, TopGroups: c.TopGroups, Normalize: c.Normalize, Scale: routeScale,
	}
	if c.GroupMax {
		op.GroupBy = backend.GroupMax
	}
	var b *operand
	var bias []float64
	if c.Bias {
		b = s.readStatWith("Bias", flat, func(int) float64 { return float64(s.rng.IntN(5)-2) / 16 }, c.E)
		op.Bias, bias = b.view, b.vals
	}
	s.op = op
	if c.Spoil != 0 {
		spoiled := logits
		if b != nil {
			spoiled = b
		}
		spoiled.store(func(i int) float64 {
			if i%c.E == c.E/2 {
				return c.Spoil
			}
			return spoiled.vals[i]
		})
		index.opaque, scores.opaque = true, true // any experts are accepted
		s.want = func() {
			for i := range c.N * c.K {
				weight.expect(i, math.NaN(), 0)
			}
		}
		return
	}
	s.want = func() {
		bound := 4.0
		if c.Softmax {
			bound = 8 + terms(c.E)
		}
		for i := range c.N {
			score := c.score(logits.vals[i*c.E:][:c.E])
			for e, v := range score {
				scores.expect(i*c.E+e, v, bound*v)
			}
			chosen := c.choose(score, bias)
			for j, w := range c.weigh(score, chosen) {
				index.expect(i*c.K+j, float64(chosen[j]), 0)
				weight.expect(i*c.K+j, w, (2*bound+terms(c.K))*w)
			}
		}
	}
}

// moeWeightsSpec computes the weights of experts that a gate would choose for other
// logits.
type moeWeightsSpec struct{ moeGateSpec }

func moeWeightsFamily() family {
	f := family{random: func(r *rand.Rand) spec { return moeWeightsSpec{randomMoEGate(r)} }}
	for _, c := range moeGateCases() {
		f.cases = append(f.cases, moeWeightsSpec{c})
	}
	f.bench = []spec{moeWeightsSpec{moeGateSpec{N: 1024, E: 256, K: 8, Groups: 8, TopGroups: 4, Normalize: true}}}
	return f
}

func (moeWeightsSpec) op() string { return "MoEWeights" }

func (c moeWeightsSpec) build(s *setup) {
	rows := func() [][]float64 {
		out := make([][]float64, c.N)
		for i := range out {
			logits := make([]float64, c.E)
			for e := range logits {
				logits[e] = 2 * s.rng.NormFloat64()
			}
			out[i] = c.score(logits)
		}
		return out
	}
	own, others := rows(), rows()
	chosen := make([][]int, c.N)
	for i, score := range others {
		chosen[i] = c.choose(score, nil)
	}
	scores := s.readStatWith("Scores", flat, func(i int) float64 { return own[i/c.E][i%c.E] }, c.N, c.E)
	index := s.ints("Index", flat, func(i int) int { return chosen[i/c.K][i%c.K] }, c.N, c.K)
	weight := s.writeStat("Weight", flat, c.N, c.K)
	s.op = &backend.MoEWeights{Weight: weight.view, Scores: scores.view, Index: index.view, Normalize: c.Normalize,
		Scale: routeScale}
	s.want = func() {
		for i := range c.N {
			for j, w := range c.weigh(scores.vals[i*c.E:][:c.E], chosen[i]) {
				weight.expect(i*c.K+j, w, (4+terms(c.K))*w)
			}
		}
	}
}

type moeGateGradSpec struct {
	moeGateSpec
	NoWeight, NoScores bool // DWeight is absent, DScores is absent
}

func moeGateGradFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return moeGateGradSpec{randomMoEGate(r), r.IntN(3) == 0, r.IntN(3) == 0}
	}}
	for i, c := range moeGateCases() {
		f.cases = append(f.cases, moeGateGradSpec{c, i%4 == 3, i%4 == 1})
	}
	for _, soft := range []bool{false, true} {
		one := moeGateSpec{N: 9, E: 8, K: 1, Groups: 1, TopGroups: 1, Softmax: soft, Normalize: true}
		f.cases = append(f.cases, moeGateGradSpec{one, false, true}, moeGateGradSpec{one, false, false})
		f.gradient = append(f.gradient, moeGateGradSpec{one, false, false})
		for _, normalize := range []bool{false, true} {
			f.gradient = append(f.gradient, moeGateGradSpec{moeGateSpec{N: 3, E: 6, K: 2, Groups: 2, TopGroups: 1,
				Softmax: soft, Normalize: normalize}, false, false})
		}
	}
	f.bench = []spec{moeGateGradSpec{moeGateSpec{N: 1024, E: 256, K: 8, Groups: 8, TopGroups: 4, Normalize: true},
		false, false}}
	return f
}

func (moeGateGradSpec) op() string { return "MoEGateGrad" }

func (c moeGateGradSpec) build(s *setup) {
	logits := make([]float64, c.N*c.E)
	for i := range logits {
		logits[i] = 2 * s.rng.NormFloat64()
	}
	var valsScores []float64
	var chosen [][]int
	for i := range c.N {
		score := c.score(logits[i*c.E:][:c.E])
		valsScores = append(valsScores, score...)
		chosen = append(chosen, c.choose(score, nil))
	}
	scores := s.readStatWith("Scores", flat, func(i int) float64 { return valsScores[i] }, c.N, c.E)
	index := s.ints("Index", flat, func(i int) int { return chosen[i/c.K][i%c.K] }, c.N, c.K)
	dlogits := s.write("DLogits", flat, c.N, c.E)
	op := &backend.MoEGateGrad{DLogits: dlogits.view, Scores: scores.view, Index: index.view, Scoring: c.scoring(),
		Normalize: c.Normalize, Scale: routeScale}
	dweight, dscores := make([]float64, c.N*c.K), make([]float64, c.N*c.E)
	if !c.NoWeight {
		o := s.readStat("DWeight", flat, c.N, c.K)
		op.DWeight, dweight = o.view, o.vals
	}
	if !c.NoScores {
		o := s.readStat("DScores", flat, c.N, c.E)
		op.DScores, dscores = o.view, o.vals
	}
	s.op = op
	s.want = func() {
		gradient := make([]float64, c.N*c.E)
		for i := range c.N {
			g, size := c.backward(scores.vals[i*c.E:][:c.E], chosen[i], dweight[i*c.K:][:c.K], dscores[i*c.E:][:c.E])
			for e := range g {
				gradient[i*c.E+e] = g[e]
				dlogits.expect(i*c.E+e, g[e], (terms(c.E)+terms(c.K))*size[e])
			}
		}
		s.gradient("Logits", logits, gradient, func() float64 {
			sum := 0.0
			for i := range c.N {
				score := c.score(logits[i*c.E:][:c.E])
				sum += dot(score, dscores[i*c.E:][:c.E]) + dot(c.weigh(score, chosen[i]), dweight[i*c.K:][:c.K])
			}
			return sum
		})
	}
}

// backward returns the gradient of one token's logits and its magnitude. A single
// normalised weight is constant: dweight must not change the gradient, not even by
// rounding.
func (c moeGateSpec) backward(s []float64, chosen []int, dweight, dscores []float64) (g, size []float64) {
	ds, dsSize := slices.Clone(dscores), make([]float64, c.E)
	for e, v := range dscores {
		dsSize[e] = math.Abs(v)
	}
	if c.Normalize && c.K == 1 {
		chosen = nil
	}
	total, mean, meanSize := 1.0, 0.0, 0.0
	if c.Normalize {
		total = 0
		for _, e := range chosen {
			total += s[e]
		}
		for i, e := range chosen {
			mean += dweight[i] * s[e] / total
			meanSize += math.Abs(dweight[i] * s[e] / total)
		}
	}
	for i, e := range chosen {
		ds[e] += routeScale / total * (dweight[i] - mean)
		dsSize[e] += routeScale / total * (math.Abs(dweight[i]) + meanSize)
	}
	g, size = make([]float64, c.E), make([]float64, c.E)
	through, throughSize := dot(ds, s), magnitude(dsSize, s)
	for e, v := range s {
		if c.Softmax {
			g[e], size[e] = v*(ds[e]-through), v*(dsSize[e]+throughSize)
		} else {
			g[e], size[e] = v*(1-v)*ds[e], v*dsSize[e]
		}
	}
	return g, size
}
