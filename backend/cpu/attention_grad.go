package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// attentionGrad is a job over sequences × key heads. Each call owns the rows of
// DK and DV that its sequence sees, so their sums need no merging: they run
// over heads, then query rows, ascending. P and dS exist for one tile of query
// rows and one segment of keys at a time; a row of DQ goes from segment to
// segment as one chain.
type attentionGrad[T number] struct {
	*backend.AttentionGrad
	seqs  []tile
	per   int // sequences that one call takes, one after the other
	split attentionGradSplit[T]
}

const (
	gradTileRows = 32  // query rows of a tile
	gradSegment  = 512 // keys of a segment: no sum begins afresh with one
)

func (j *attentionGrad[T]) do(p *pool, o *backend.AttentionGrad) {
	j.AttentionGrad = o
	p.run(o.K.Shape[0], 64, (*zeroKeyGrads[T])(o))
	j.seqs = tiles(j.seqs[:0], "AttentionGrad", &o.Start, &o.Len, &backend.View{}, o.K.Shape[0], o.Q.Shape[0])
	j.per = len(j.seqs)
	if j.disjoint() {
		j.per = 1
	}
	units, longest := 0, 0
	if len(j.seqs) > 0 {
		units = len(j.seqs) / j.per * o.K.Shape[1]
	}
	for _, s := range j.seqs {
		longest = max(longest, s.hi-s.lo)
	}
	if units < len(p.workers) && longest*o.Q.Shape[1]/max(o.K.Shape[1], 1) > gradTileRows {
		j.split.do(p, j)
	} else {
		p.run(units, 1, j)
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
func (j *attentionGrad[T]) sequence(w *worker, s tile, g int) {
	n := j.keySegmentSize(s)
	buf := scratch[T](w, n+j.gradTileSize())
	x, t := j.newKeySegment(s, g, buf), j.newGradTile(buf[n:])
	j.clearUnseen(s, g)
	group := j.Q.Shape[1] / j.K.Shape[1]
	for ; x.first < s.most; x.first += gradSegment {
		j.pack(&x)
		for t.h = g * group; t.h < (g+1)*group; t.h++ {
			for t.lo, t.hi = j.rows(s, s.lo); t.lo < s.hi; t.lo, t.hi = j.rows(s, t.hi) {
				j.scores(&x, &t)
				j.keyGrads(&x, &t, &j.DK, t.ds, t.query, 0, x.n)
				j.keyGrads(&x, &t, &j.DV, t.p, t.dOut, 0, x.n)
			}
		}
	}
}

// rows is the first tile of s from row i on; lo is s.hi if there is none. Rows
// that see nothing are in no tile.
func (j *attentionGrad[T]) rows(s tile, i int) (lo, hi int) {
	length := data[int32](&j.Len)
	for i < s.hi && length[i] <= 0 {
		i++
	}
	for hi = i; hi < min(i+gradTileRows, s.hi) && length[hi] > 0; {
		hi++
	}
	return i, hi
}

// clearUnseen clears DQ of the rows that see nothing: what they hold must not
// spread.
func (j *attentionGrad[T]) clearUnseen(s tile, g int) {
	dq, length := data[T](&j.DQ), data[int32](&j.Len)
	group := j.Q.Shape[1] / j.K.Shape[1]
	for i := s.lo; i < s.hi; i++ {
		for h := g * group; h < (g+1)*group && length[i] <= 0; h++ {
			clear(dq[i*j.DQ.Strides[0]+h*j.DQ.Strides[1]:][:j.Q.Shape[2]])
		}
	}
}

// keySegment is one segment of a sequence's keys, n from the sequence's key
// first on, packed.
type keySegment[T number] struct {
	seq          tile
	g, first, n  int
	keysT, valsT []T // Kᵀ [Dk, n] and Vᵀ [Dv, n] in panels
	keys         []T // K [n, Dk] in panels
}

func (j *attentionGrad[T]) keySegmentSize(s tile) int {
	n, d, dv := min(s.most, gradSegment), j.Q.Shape[2], j.V.Shape[2]
	return asm.PackedSize(d, n) + asm.PackedSize(dv, n) + aligned(asm.PackedSize(n, d))
}

func (j *attentionGrad[T]) newKeySegment(s tile, g int, buf []T) keySegment[T] {
	n, d, dv := min(s.most, gradSegment), j.Q.Shape[2], j.V.Shape[2]
	a, b := asm.PackedSize(d, n), asm.PackedSize(dv, n)
	return keySegment[T]{seq: s, g: g, keysT: buf[:a], valsT: buf[a:][:b], keys: buf[a+b:][:asm.PackedSize(n, d)]}
}

func (j *attentionGrad[T]) pack(x *keySegment[T]) {
	x.n = min(gradSegment, x.seq.most-x.first)
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	keys, values := keyRows[T](&j.K, x.seq.first+x.first, x.g), keyRows[T](&j.V, x.seq.first+x.first, x.g)
	packPanels(x.keysT, keys, d, x.n, 1, j.K.Strides[0])
	packPanels(x.valsT, values, dv, x.n, 1, j.V.Strides[0])
	packPanels(x.keys, keys, x.n, d, j.K.Strides[0], 1)
}

// gradTile is query rows lo to hi of head h, all of which see something, and
// what scores makes of them.
type gradTile[T number] struct {
	h, lo, hi   int
	most        int // keys of the segment that any row sees
	query, dOut []T // Q [rows, Dk] and DO [rows, Dv] in panels
	p, ds       []T // [rows, most]
}

func (j *attentionGrad[T]) gradTileSize() int {
	return asm.PackedSize(gradTileRows, j.Q.Shape[2]) + asm.PackedSize(gradTileRows, j.V.Shape[2]) + 2*gradTileRows*gradSegment
}

func (j *attentionGrad[T]) newGradTile(buf []T) (t gradTile[T]) {
	const n = gradTileRows * gradSegment
	a, b := asm.PackedSize(gradTileRows, j.Q.Shape[2]), asm.PackedSize(gradTileRows, j.V.Shape[2])
	t.query, t.dOut, t.p, t.ds = buf[:a], buf[a:][:b], buf[a+b:][:n], buf[a+b+n:][:n]
	return t
}

// scores computes P, dS and the packed operands of t, and adds what the segment
// gives to DQ.
func (j *attentionGrad[T]) scores(x *keySegment[T], t *gradTile[T]) {
	length, logSums, heads, rows := data[int32](&j.Len), data[T](&j.LSE), j.Q.Shape[1], t.hi-t.lo
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	query := data[T](&j.Q)[t.lo*j.Q.Strides[0]+t.h*j.Q.Strides[1]:]
	dOut := data[T](&j.DO)[t.lo*j.DO.Strides[0]+t.h*j.DO.Strides[1]:]
	out := data[T](&j.O)[t.lo*j.O.Strides[0]+t.h*j.O.Strides[1]:]
	var visible [gradTileRows]int32
	var lse, delta [gradTileRows]T
	t.most = 0
	for r := range rows {
		seen := min(max(int(length[t.lo+r])-x.first, 0), x.n)
		visible[r], t.most = int32(seen), max(t.most, seen)
		lse[r] = logSums[(t.lo+r)*heads+t.h]
		delta[r] = dot(dOut[r*j.DO.Strides[0]:][:dv], out[r*j.O.Strides[0]:][:dv])
	}
	if t.most == 0 {
		return
	}
	gemmPacked(rows, t.most, d, query, j.Q.Strides[0], 1, x.keysT, t.p, t.most, false)
	gemmPacked(rows, t.most, dv, dOut, j.DO.Strides[0], 1, x.valsT, t.ds, t.most, false)
	softmaxGradRows(t.p[:rows*t.most], t.ds, visible[:rows], lse[:], delta[:], T(j.Scale))

	dq := data[T](&j.DQ)[t.lo*j.DQ.Strides[0]+t.h*j.DQ.Strides[1]:]
	wide := d
	if t.most < x.n { // the first rows of each panel
		wide = asm.PanelWidth
	}
	for c := 0; c < d; c += wide {
		gemmPacked(rows, min(wide, d-c), t.most, t.ds, t.most, 1, x.keys[c*x.n:], dq[c:], j.DQ.Strides[0], x.first > 0)
	}
	packPanels(t.query, query, rows, d, j.Q.Strides[0], 1)
	packPanels(t.dOut, dOut, rows, dv, j.DO.Strides[0], 1)
}

// keyGrads adds weightsᵀ·rows to keys lo to hi of the segment: dSᵀ·Q to DK, or
// Pᵀ·DO to DV.
func (j *attentionGrad[T]) keyGrads(x *keySegment[T], t *gradTile[T], grad *backend.View, weights, rows []T, lo, hi int) {
	if hi = min(hi, t.most); lo < hi {
		to := keyRows[T](grad, x.seq.first+x.first+lo, x.g)
		gemmPacked(hi-lo, grad.Shape[2], t.hi-t.lo, weights[lo:], 1, t.most, rows, to, grad.Strides[0], true)
	}
}

// softmaxGradRows turns the products Q·Kᵀ in p and DO·Vᵀ in ds, a row for each
// element of visible, into P and dS. Where a row does not see a key both are 0.
func softmaxGradRows[T number](p, ds []T, visible []int32, lse, delta []T, factor T) {
	if p32, ok := any(p).([]float32); ok {
		asm.SoftmaxGradRows(p32, any(ds).([]float32), visible, any(lse).([]float32), any(delta).([]float32), float32(factor))
		return
	}
	width := len(p) / len(visible)
	for r, n := range visible {
		pr, dr := p[r*width:][:width], ds[r*width:][:width]
		clear(pr[n:])
		clear(dr[n:])
		pr, dr = pr[:n], dr[:n]
		scale(pr, pr, factor)
		expSub(pr, pr, lse[r])
		softmaxGrad(dr, pr, dr, delta[r], factor)
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
