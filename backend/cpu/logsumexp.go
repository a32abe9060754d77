package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// vocabScore is the running statistics of a row of logits z: m = max z, l = Σ
// exp(z−m) and a = Σ exp(z−m)·z. LogSumExp, LinearLogProb and Sample all score
// rows through it, chunk by chunk, so that they agree bit for bit.
type vocabScore[T number] struct{ m, l, a T }

// noScore returns the score of no logits.
func noScore[T number]() vocabScore[T] { return vocabScore[T]{m: T(math.Inf(-1))} }

// add merges the score of the next backend.VocabChunk logits. p is scratch
// memory of the same length. a stays 0 unless entropy is set.
func (s *vocabScore[T]) add(z, p []T, entropy bool) {
	var c vocabScore[T]
	c.m, c.l = expShifted(p, z)
	if entropy {
		c.a = moment(p, z)
	}
	m := max(s.m, c.m)
	if math.IsInf(float64(m), -1) {
		s.l += c.l // adds 0, or NaN if a logit was NaN
		return
	}
	old, next := T(math.Exp(float64(s.m-m))), T(math.Exp(float64(c.m-m)))
	s.m = m
	s.l = T(s.l*old) + T(c.l*next)
	s.a = T(s.a*old) + T(c.a*next)
}

// moment returns Σ p·z. A masked logit of −Inf, whose p is 0, contributes 0.
func moment[T number](p, z []T) T {
	sum := dot(p, z)
	if sum == sum {
		return sum
	}
	sum = 0
	for i, v := range p {
		if v != 0 {
			sum += T(v * z[i])
		}
	}
	return sum
}

func (s *vocabScore[T]) lse() T { return s.m + T(math.Log(float64(s.l))) }

// entropy returns the entropy in nats.
func (s *vocabScore[T]) entropy() T { return s.lse() - s.a/s.l }

// scoreRow scores a row of logits x at inverse temperature invTemp. It leaves
// invTemp·x in z. p is scratch memory for one chunk.
func scoreRow[T number](z, x, p []T, invTemp T, entropy bool) vocabScore[T] {
	s := noScore[T]()
	for v := 0; v < len(x); v += backend.VocabChunk {
		end := min(v+backend.VocabChunk, len(x))
		scale(z[v:end], x[v:end], invTemp)
		s.add(z[v:end], p[:end-v], entropy)
	}
	return s
}

// logSumExp is the job of LogSumExp, split by rows.
type logSumExp[T number] backend.LogSumExp

func (o *logSumExp[T]) run(w *worker, lo, hi int) {
	lse := data[T](&o.LSE)
	vocab := o.X.Shape[1]
	buf := scratch[T](w, 2*vocab)
	x, _ := newReader(&o.X, vocab, buf) // BF16 is widened into the memory of the scores
	for i := lo; i < hi; i++ {
		s := scoreRow(buf[:vocab], x.at(i*o.X.Strides[0], vocab), buf[vocab:], T(o.InvTemp), o.Entropy.Present())
		lse[i] = s.lse()
		if o.Entropy.Present() {
			data[T](&o.Entropy)[i] = s.entropy()
		}
	}
}
