package cpu

import (
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
)

type moeGate[T number] backend.MoEGate

func (o *moeGate[T]) run(w *worker, lo, hi int) {
	weight, index, scores := data[T](&o.Weight), data[int32](&o.Index), data[T](&o.Scores)
	experts, k := o.Logits.Shape[1], o.Index.Shape[1]
	buf := scratch[T](w, experts+o.Groups+k+bufferSize(&o.Logits, experts))
	biased, groups, best := buf[:experts], buf[experts:][:o.Groups], buf[experts+o.Groups:][:k]
	logits, _ := newReader(&o.Logits, experts, buf[experts+o.Groups+k:])
	for i := lo; i < hi; i++ {
		s, chosen, wt := scores[i*experts:][:experts], index[i*k:][:k], weight[i*k:][:k]
		z := logits.at(i*o.Logits.Strides[0], experts)
		if o.Scoring == backend.ScoreSigmoid {
			sigmoid(s, z)
		} else {
			_, sum := expShifted(s, z)
			scale(s, s, 1/sum)
		}
		copy(biased, s)
		if o.Bias.Present() {
			addScaled(biased, data[T](&o.Bias)[:experts], 1)
		}
		o.rankGroups(groups, biased)
		top, size := newTopList(chosen, best), experts/o.Groups
		for g := range groups {
			if beats(groups, g) < o.TopGroups {
				for e := g * size; e < (g+1)*size; e++ {
					top.offer(int32(e), biased[e])
				}
			}
		}
		slices.Sort(chosen)
		if spoiled(z, biased) {
			fillRow(wt, k, 1, T(math.NaN()))
			continue
		}
		weigh(wt, s, chosen, o.Normalize, o.Scale)
	}
}

// weigh sets wt to the weights of the chosen experts; s is the scores of all
// experts.
func weigh[T number](wt, s []T, chosen []int32, normalize bool, by float64) {
	var sum T
	for n, e := range chosen {
		wt[n] = s[e]
		sum += s[e]
	}
	factor := T(by)
	if normalize {
		factor /= sum + backend.GateEps
	}
	scale(wt, wt, factor)
}

type moeWeights[T number] backend.MoEWeights

func (o *moeWeights[T]) run(_ *worker, lo, hi int) {
	weight, index, scores := data[T](&o.Weight), data[int32](&o.Index), data[T](&o.Scores)
	experts, k := o.Scores.Shape[1], o.Index.Shape[1]
	for i := lo; i < hi; i++ {
		chosen := index[i*k:][:k]
		for _, e := range chosen {
			row("MoEWeights", "expert", e, experts)
		}
		weigh(weight[i*k:][:k], scores[i*experts:][:experts], chosen, o.Normalize, o.Scale)
	}
}

// spoiled reports whether a logit is not finite or a biased score is NaN or
// +Inf.
func spoiled[T number](logits, biased []T) bool {
	if finite(dot(logits, logits)) && finite(dot(biased, biased)) { // a quick test that nearly always suffices
		return false
	}
	for i, z := range logits {
		if !finite(z) || !(biased[i] < T(math.Inf(1))) {
			return true
		}
	}
	return false
}

// rankGroups computes the score of each group of experts.
func (o *moeGate[T]) rankGroups(groups, biased []T) {
	size := len(biased) / len(groups)
	for g := range groups {
		first, second := T(math.Inf(-1)), T(math.Inf(-1))
		for _, v := range biased[g*size:][:size] {
			if v > first {
				first, second = v, first
			} else if v > second {
				second = v
			}
		}
		groups[g] = first
		if o.GroupBy == backend.GroupTop2Sum && size > 1 {
			groups[g] += second
		}
	}
}

// beats returns how many elements of x rank before x[i]: those that are larger,
// and equal ones of lower index.
func beats[T number](x []T, i int) int {
	n := 0
	for j, v := range x {
		if v > x[i] || v == x[i] && j < i {
			n++
		}
	}
	return n
}

// topList keeps the largest values offered to it, in descending order. Of equal
// values, the one offered first ranks first. NaN counts as −Inf.
type topList[T number] struct {
	ids    []int32
	values []T
}

// newTopList returns an empty list for up to len(ids) values.
func newTopList[T number](ids []int32, values []T) topList[T] {
	return topList[T]{ids[:0:len(ids)], values[:0:len(values)]}
}

func (t *topList[T]) offer(id int32, v T) {
	if v != v {
		v = T(math.Inf(-1))
	}
	n := len(t.values)
	if n == cap(t.values) {
		if n == 0 || v <= t.values[n-1] {
			return
		}
		n--
	} else {
		t.ids, t.values = t.ids[:n+1], t.values[:n+1]
	}
	for ; n > 0 && t.values[n-1] < v; n-- {
		t.ids[n], t.values[n] = t.ids[n-1], t.values[n-1]
	}
	t.ids[n], t.values[n] = id, v
}

type moeGateGrad[T number] backend.MoEGateGrad

func (o *moeGateGrad[T]) run(w *worker, lo, hi int) {
	scores, index := data[T](&o.Scores), data[int32](&o.Index)
	experts, k := o.Scores.Shape[1], o.Index.Shape[1]
	dLogits, _ := newWriter(&o.DLogits, experts, scratch[T](w, bufferSize(&o.DLogits, experts)))
	for i := lo; i < hi; i++ {
		d, s, chosen := dLogits.at(i*experts, experts), scores[i*experts:][:experts], index[i*k:][:k]
		if o.DScores.Present() {
			copy(d, data[T](&o.DScores)[i*experts:])
		} else {
			clear(d)
		}
		if o.DWeight.Present() {
			o.throughWeights(d, data[T](&o.DWeight)[i*k:][:k], s, chosen)
		}
		if o.Scoring == backend.ScoreSigmoid {
			for e, v := range s {
				d[e] *= v * (1 - v)
			}
		} else {
			softmaxGrad(d, s, d, dot(s, d), 1)
		}
		dLogits.done(i*experts, experts)
	}
}

// throughWeights adds to ds, the gradient of the scores, what flows back from
// g, the gradient of the chosen experts' weights.
func (o *moeGateGrad[T]) throughWeights(ds, g, s []T, chosen []int32) {
	if (*backend.MoEGateGrad)(o).ConstantWeights() {
		return
	}
	factor, mean := T(o.Scale), T(0)
	if o.Normalize {
		var sum T
		for n, e := range chosen {
			sum += s[e]
			mean += T(g[n] * s[e])
		}
		mean /= sum + backend.GateEps
		factor /= sum + backend.GateEps
	}
	for n, e := range chosen {
		ds[e] += T(factor * (g[n] - mean))
	}
}
