package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// sequenceBalance is the job of SequenceBalance, split by sequences.
type sequenceBalance[T number] struct {
	*backend.SequenceBalance
	loss []T // loss of each sequence, without the factor Coef
}

func (j *sequenceBalance[T]) do(p *pool, o *backend.SequenceBalance) {
	j.SequenceBalance = o
	sequences := o.SeqStart.Shape[0] - 1
	j.loss = grow(j.loss, max(sequences, 0))
	p.run(sequences, 1, j)
	var sum T
	for _, l := range j.loss {
		sum += l
	}
	data[T](&o.Loss)[0] = T(o.Coef) * sum
	j.SequenceBalance = nil
}

func (j *sequenceBalance[T]) run(w *worker, lo, hi int) {
	scores := data[T](&j.Scores)
	n, experts := j.Scores.Shape[0], j.Scores.Shape[1]
	f, p, best := balanceScratch[T](w, experts, j.K)
	for q := lo; q < hi; q++ {
		first, last := sequence("SequenceBalance", &j.SeqStart, q, n)
		balanceLoad(f, scores, first, last, best)
		clear(p)
		for t := first; t < last; t++ {
			s := scores[t*experts:][:experts]
			addScaled(p, s, 1/total(s))
		}
		j.loss[q] = 0
		if last > first {
			j.loss[q] = dot(f, p) / T(last-first)
		}
	}
}

// sequenceBalanceGrad is the job of SequenceBalanceGrad, split by sequences.
type sequenceBalanceGrad[T number] backend.SequenceBalanceGrad

func (o *sequenceBalanceGrad[T]) do(p *pool) {
	ds, start := data[T](&o.DScores), data[int32](&o.SeqStart)
	n, experts := o.Scores.Shape[0], o.Scores.Shape[1]
	sequences := o.SeqStart.Shape[0] - 1
	if sequences < 1 {
		clear(ds[:n*experts])
		return
	}
	p.run(sequences, 1, o)
	clear(ds[:int(start[0])*experts])
	clear(ds[int(start[sequences])*experts : n*experts])
}

func (o *sequenceBalanceGrad[T]) run(w *worker, lo, hi int) {
	ds, scores, dloss := data[T](&o.DScores), data[T](&o.Scores), data[T](&o.DLoss)[0]
	n, experts := o.Scores.Shape[0], o.Scores.Shape[1]
	f, _, best := balanceScratch[T](w, experts, o.K)
	for q := lo; q < hi; q++ {
		first, last := sequence("SequenceBalanceGrad", &o.SeqStart, q, n)
		balanceLoad(f, scores, first, last, best)
		for t := first; t < last; t++ {
			s, d := scores[t*experts:][:experts], ds[t*experts:][:experts]
			sum := total(s)
			mean, factor := dot(f, s)/sum, dloss*T(o.Coef)/(T(last-first)*sum)
			for e, v := range f {
				d[e] = factor * (v - mean)
			}
		}
	}
}

// balanceScratch returns two numbers per expert and a list of the best k
// experts, in scratch memory.
func balanceScratch[T number](w *worker, experts, k int) (f, p []T, best topList[T]) {
	buf := scratch[T](w, 2*experts+k)
	return buf[:experts], buf[experts:][:experts], newTopList(scratch[int32](w, k), buf[2*experts:])
}

// balanceLoad sets f[e] = E/(K·T)·Σ_t 1[e ∈ top-K of Scores[t]] over the tokens
// [first, last) of a sequence (DeepSeek-V3 eq. 18).
func balanceLoad[T number](f, scores []T, first, last int, best topList[T]) {
	clear(f)
	for t := first; t < last; t++ {
		best.ids, best.values = best.ids[:0], best.values[:0]
		for e, v := range scores[t*len(f):][:len(f)] {
			best.offer(int32(e), v)
		}
		for _, e := range best.ids {
			f[e]++
		}
	}
	scale(f, f, T(len(f))/T(float64(cap(best.values))*math.Max(float64(last-first), 1)))
}

// sequence returns the range of rows of sequence q. n is the number of all
// rows.
func sequence(op string, starts *backend.View, q, n int) (first, last int) {
	start := data[int32](starts)
	first = row(op, "first row", start[q], n+1)
	return first, max(first, row(op, "end", start[q+1], n+1))
}

// total returns Σ x, added in ascending order.
func total[T number](x []T) T {
	var sum T
	for _, v := range x {
		sum += v
	}
	return sum
}
