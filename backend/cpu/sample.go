package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// sample is the job of Sample, split by rows.
type sample[T number] backend.Sample

func (o *sample[T]) run(w *worker, lo, hi int) {
	token, logProb := data[int32](&o.Token), data[T](&o.LogProb)
	vocab := o.X.Shape[1]
	buf := scratch[T](w, 2*vocab)
	d := draw[T]{z: buf[:vocab], p: buf[vocab:]}
	rows, _ := newReader(&o.X, vocab, buf) // BF16 is widened into the memory of the scores
	for i := lo; i < hi; i++ {
		x := rows.at(i*o.X.Strides[0], vocab)
		var t int
		var lp T
		if temperature := float64(at[T](&o.Temperature, i)); temperature == 0 {
			t, lp = d.greedy(x)
		} else if d.score(x, T(1/temperature)); !finite(d.lse) {
			t, lp = firstMax(d.z), T(math.NaN()) // some logit is not finite: skip the filters, which might drop it
		} else {
			d.filter(w, int(at[int32](&o.TopK, i)), float64(at[T](&o.TopP, i)))
			seed := data[int32](&o.Seed)[2*i:]
			key := uint64(uint32(seed[1]))<<32 | uint64(uint32(seed[0]))
			words := backend.Philox(key, 0, uint64(at[int32](&o.Pos, i)))
			t = d.pick(float64(uniform[T](words[0])))
			lp = d.z[t] - d.lse
		}
		token[i*o.Token.Strides[0]], logProb[i*o.LogProb.Strides[0]] = int32(t), lp
	}
}

// at returns element i of the vector v.
func at[T number | int32](v *backend.View, i int) T { return data[T](v)[i*v.Strides[0]] }

// draw is the state for sampling one row.
type draw[T number] struct {
	z   []T // logits, −Inf where a filter dropped them
	p   []T // scratch memory
	lse T   // log-sum-exp of z
}

func (d *draw[T]) score(x []T, invTemp T) {
	s := scoreRow(d.z, x, d.p, invTemp, false)
	d.lse = s.lse()
}

func (d *draw[T]) greedy(x []T) (token int, logProb T) {
	d.score(x, 1)
	token = firstMax(d.z)
	return token, d.z[token] - d.lse
}

// filter keeps the topK largest logits (top-k) and, of these, the most likely
// ones that together reach probability topP (top-p).
func (d *draw[T]) filter(w *worker, topK int, topP float64) {
	byCount, byMass := topK > 0 && topK < len(d.z), topP < 1
	if !byCount && !byMass {
		return
	}
	r := newRanking(d.z, scratch[int32](w, len(d.z)))
	if !byCount {
		topK = len(d.z)
	} else {
		r.drop(topK)
		d.score(d.z, 1)
	}
	if byMass {
		expSub(d.p, d.z, d.lse)
		mass, n := 0.0, 0
		for n == 0 || n < topK && mass < topP {
			mass += float64(d.p[r.best(n)])
			n++
		}
		r.drop(n)
		d.score(d.z, 1)
	}
}

// pick returns the first token at which the cumulative probability exceeds u.
// The sum is in float64. If rounding leaves it at or below u, pick returns the
// last token whose probability is not 0.
func (d *draw[T]) pick(u float64) int {
	expSub(d.p, d.z, d.lse)
	mass, last := 0.0, -1
	for v, p := range d.p {
		if mass += float64(p); mass > u {
			return v
		}
		if p > 0 {
			last = v
		}
	}
	return last
}

// finite reports whether x is neither NaN nor infinite.
func finite[T number](x T) bool { return x-x == 0 }

// firstMax returns the lowest index of the largest element. NaN counts as −Inf.
func firstMax[T number](x []T) int {
	m := maximum(x)
	for i, v := range x {
		if v == m {
			return i
		}
	}
	return 0
}

// ranking sorts the ids of z in descending order of logits, equal ones by
// lowest id, but only as far as needed: ids[:heap] is a max-heap, and
// ids[heap:] are the best ids so far in reverse order.
type ranking[T number] struct {
	z    []T
	ids  []int32
	heap int
}

func newRanking[T number](z []T, ids []int32) ranking[T] {
	r := ranking[T]{z, ids, len(ids)}
	for i := range ids {
		ids[i] = int32(i)
	}
	for i := len(ids)/2 - 1; i >= 0; i-- {
		r.sink(i)
	}
	return r
}

// best returns the id of rank n, from 0.
func (r *ranking[T]) best(n int) int32 {
	for len(r.ids)-r.heap <= n {
		r.heap--
		r.ids[0], r.ids[r.heap] = r.ids[r.heap], r.ids[0]
		r.sink(0)
	}
	return r.ids[len(r.ids)-1-n]
}

// drop sets all logits except the n largest to −Inf.
func (r *ranking[T]) drop(n int) {
	r.best(n - 1)
	for _, id := range r.ids[:len(r.ids)-n] {
		r.z[id] = T(math.Inf(-1))
	}
}

func (r *ranking[T]) sink(i int) {
	for {
		child := 2*i + 1
		if child >= r.heap {
			return
		}
		if child+1 < r.heap && r.before(child+1, child) {
			child++
		}
		if !r.before(child, i) {
			return
		}
		r.ids[i], r.ids[child] = r.ids[child], r.ids[i]
		i = child
	}
}

func (r *ranking[T]) before(i, j int) bool {
	a, b := r.ids[i], r.ids[j]
	return r.z[a] > r.z[b] || r.z[a] == r.z[b] && a < b
}
