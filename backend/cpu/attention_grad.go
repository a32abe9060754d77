package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// attentionGrad is a job over sequences × key heads. Each call owns the rows of
// DK and DV that its sequence sees, so their sums need no merging: they run
// over heads, then tiles of query rows, then rows, all ascending.
type attentionGrad[T number] struct {
	*backend.AttentionGrad
	seqs []segment
	per  int // sequences that one call takes, one after the other
}

func (j *attentionGrad[T]) do(p *pool, o *backend.AttentionGrad) {
	j.AttentionGrad = o
	p.run(o.K.Shape[0], 64, (*zeroKeyGrads[T])(o))
	j.seqs = segments(j.seqs[:0], "AttentionGrad", &o.Start, &o.Len, o.K.Shape[0], o.Q.Shape[0])
	j.per = len(j.seqs)
	if j.disjoint() {
		j.per = 1
	}
	if len(j.seqs) > 0 {
		p.run(len(j.seqs)/j.per*o.K.Shape[1], 1, j)
	}
	j.AttentionGrad = nil
}

// disjoint reports whether no two of the sequences share a key, as far as
// their order shows.
func (j *attentionGrad[T]) disjoint() bool {
	end := 0
	for _, s := range j.seqs {
		if s.most > 0 && s.first < end {
			return false
		}
		end = max(end, s.first+s.most)
	}
	return true
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
	d, dv, tile := j.Q.Shape[2], j.V.Shape[2], min(attentionTile, s.hi-s.lo)
	sizes := [...]int{
		asm.PackedSize(d, s.most), asm.PackedSize(dv, s.most), asm.PackedSize(s.most, d), // Kᵀ, Vᵀ, K
		asm.PackedSize(tile, d), asm.PackedSize(tile, dv), // Q, DO
		tile * s.most, tile * s.most, // P, dS
	}
	total := 0
	for _, n := range sizes {
		total += n
	}
	buf := scratch[T](w, total)
	var part [len(sizes)][]T
	for i, n := range sizes {
		part[i], buf = buf[:n], buf[n:]
	}
	if s.most > 0 {
		keys, values := keyRows[T](&j.K, s.first, g), keyRows[T](&j.V, s.first, g)
		packPanels(part[0], keys, d, s.most, 1, j.K.Strides[0])
		packPanels(part[1], values, dv, s.most, 1, j.V.Strides[0])
		packPanels(part[2], keys, s.most, d, j.K.Strides[0], 1)
	}
	dq, length := data[T](&j.DQ), data[int32](&j.Len)
	group := j.Q.Shape[1] / j.K.Shape[1]
	for h := g * group; h < (g+1)*group; h++ {
		for i := s.lo; i < s.hi; {
			if length[i] <= 0 { // sees nothing: what it holds must not spread
				clear(dq[i*j.DQ.Strides[0]+h*j.DQ.Strides[1]:][:d])
				i++
				continue
			}
			end := i + 1
			for end < min(i+attentionTile, s.hi) && length[end] > 0 {
				end++
			}
			j.tile(s, g, h, i, end, part[0], part[1], part[2], part[3], part[4], part[5], part[6])
			i = end
		}
	}
}

// tile adds the gradients of query rows lo to hi of head h, all of which see
// something. keysT, valuesT and
// keys are packed for the whole sequence; the other slices are scratch.
func (j *attentionGrad[T]) tile(s segment, g, h, lo, hi int, keysT, valuesT, keys, q, do, p, ds []T) {
	length, rows := data[int32](&j.Len), hi-lo
	most := 0 // keys that any row of the tile sees
	for i := lo; i < hi; i++ {
		most = max(most, int(length[i]))
	}
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	dq := data[T](&j.DQ)[lo*j.DQ.Strides[0]+h*j.DQ.Strides[1]:]
	query := data[T](&j.Q)[lo*j.Q.Strides[0]+h*j.Q.Strides[1]:]
	dOut := data[T](&j.DO)[lo*j.DO.Strides[0]+h*j.DO.Strides[1]:]
	gemmPacked(rows, most, d, query, j.Q.Strides[0], 1, keysT, p, most, false)
	gemmPacked(rows, most, dv, dOut, j.DO.Strides[0], 1, valuesT, ds, most, false)
	j.scores(h, lo, hi, most, p, ds)

	for c := 0; c < d; c += asm.PanelWidth { // the first rows of each of the sequence's panels
		gemmPacked(rows, min(asm.PanelWidth, d-c), most, ds, most, 1, keys[c*s.most:], dq[c:], j.DQ.Strides[0], false)
	}
	packPanels(q, query, rows, d, j.Q.Strides[0], 1)
	packPanels(do, dOut, rows, dv, j.DO.Strides[0], 1)
	gemmPacked(most, d, rows, ds, 1, most, q, keyRows[T](&j.DK, s.first, g), j.DK.Strides[0], true)
	gemmPacked(most, dv, rows, p, 1, most, do, keyRows[T](&j.DV, s.first, g), j.DV.Strides[0], true)
}

// scores turns the products Q·Kᵀ in p and DO·Vᵀ in ds into P and dS; where a
// row does not see a key both are 0.
func (j *attentionGrad[T]) scores(h, lo, hi, most int, p, ds []T) {
	o, do, lse := data[T](&j.O), data[T](&j.DO), data[T](&j.LSE)
	length, heads, dv := data[int32](&j.Len), j.Q.Shape[1], j.V.Shape[2]
	for i := lo; i < hi; i++ {
		n := int(length[i])
		pi, dsi := p[(i-lo)*most:][:most], ds[(i-lo)*most:][:most]
		clear(pi[n:])
		clear(dsi[n:])
		delta := dot(do[i*j.DO.Strides[0]+h*j.DO.Strides[1]:][:dv], o[i*j.O.Strides[0]+h*j.O.Strides[1]:][:dv])
		scale(pi[:n], pi[:n], T(j.Scale))
		expSub(pi[:n], pi[:n], lse[i*heads+h])
		softmaxGrad(dsi[:n], pi[:n], dsi[:n], delta, T(j.Scale))
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
