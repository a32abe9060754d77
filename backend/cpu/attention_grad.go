package cpu

import "github.com/aha-go/aha/backend"

// attentionGrad is a job over sequences × key heads. Each call owns the rows of
// DK and DV that its sequence sees, so their sums need no merging.
type attentionGrad[T number] struct {
	*backend.AttentionGrad
	seqs []segment
	per  int // sequences that one call takes, one after the other
}

// segment is a run of query rows, [lo, hi), that share their first key.
type segment struct{ lo, hi, first, keys int }

func (j *attentionGrad[T]) do(p *pool, o *backend.AttentionGrad) {
	j.AttentionGrad = o
	p.run(o.K.Shape[0], 64, (*zeroKeyGrads[T])(o))
	if j.split() {
		j.per = 1
	} else {
		j.per = len(j.seqs)
	}
	if len(j.seqs) > 0 {
		p.run(len(j.seqs)/j.per*o.K.Shape[1], 1, j)
	}
	j.AttentionGrad = nil
}

// split finds the sequences and reports whether no two of them share a key.
func (j *attentionGrad[T]) split() (disjoint bool) {
	j.seqs = j.seqs[:0]
	disjoint = true
	for i := range j.Q.Shape[0] {
		first, keys := keyWindow("AttentionGrad", &j.Start, &j.Len, i, j.K.Shape[0])
		if n := len(j.seqs); n > 0 {
			s := &j.seqs[n-1]
			if s.keys == 0 {
				s.first = first
			}
			if keys == 0 || s.first == first { // rows that see nothing join any sequence
				s.hi, s.keys = i+1, max(s.keys, keys)
				continue
			}
		}
		j.seqs = append(j.seqs, segment{i, i + 1, first, keys})
	}
	end := 0
	for _, s := range j.seqs {
		disjoint = disjoint && (s.first >= end || s.keys == 0)
		end = max(end, s.first+s.keys)
	}
	return disjoint
}

func (j *attentionGrad[T]) run(w *worker, lo, hi int) {
	heads := j.K.Shape[1]
	for t := lo; t < hi; t++ {
		for _, s := range j.seqs[t/heads*j.per:][:j.per] {
			j.sequence(w, s, t%heads)
		}
	}
}

// sequence adds the gradients of one sequence under key head g.
func (j *attentionGrad[T]) sequence(w *worker, s segment, g int) {
	dq, do, o, lse, q := data[T](&j.DQ), data[T](&j.DO), data[T](&j.O), data[T](&j.LSE), data[T](&j.Q)
	heads, dk, dv := j.Q.Shape[1], j.Q.Shape[2], j.V.Shape[2]
	group := heads / j.K.Shape[1]
	keys, values := keyRows[T](&j.K, s.first, g), keyRows[T](&j.V, s.first, g)
	keyGrads, valueGrads := keyRows[T](&j.DK, s.first, g), keyRows[T](&j.DV, s.first, g)
	length := data[int32](&j.Len)
	buf := scratch[T](w, 2*s.keys)
	for h := g * group; h < (g+1)*group; h++ {
		for i := s.lo; i < s.hi; i++ {
			dqi := dq[i*j.DQ.Strides[0]+h*j.DQ.Strides[1]:][:dk]
			clear(dqi)
			n := int(length[i])
			if n <= 0 {
				continue
			}
			qi := q[i*j.Q.Strides[0]+h*j.Q.Strides[1]:][:dk]
			doi := do[i*j.DO.Strides[0]+h*j.DO.Strides[1]:][:dv]
			oi := o[i*j.O.Strides[0]+h*j.O.Strides[1]:][:dv]
			p, ds := buf[:n], buf[s.keys:][:n]
			dots(p, qi, keys, j.K.Strides[0])
			scale(p, p, T(j.Scale))
			expSub(p, p, lse[i*heads+h])
			dots(ds, doi, values, j.V.Strides[0])
			softmaxGrad(ds, p, ds, dot(doi, oi), T(j.Scale))
			weightedSum(dqi, ds, keys, j.K.Strides[0])
			rankOne(keyGrads, j.DK.Strides[0], ds, qi)
			rankOne(valueGrads, j.DV.Strides[0], p, doi)
		}
	}
}

// zeroKeyGrads is a job over key rows.
type zeroKeyGrads[T number] backend.AttentionGrad

func (o *zeroKeyGrads[T]) run(_ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		for g := range o.K.Shape[1] {
			clear(keyRows[T](&o.DK, r, g)[:o.DK.Shape[2]])
			clear(keyRows[T](&o.DV, r, g)[:o.DV.Shape[2]])
		}
	}
}
