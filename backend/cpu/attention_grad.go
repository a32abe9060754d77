package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// attentionGrad is the job of AttentionGrad. A unit is one sequence and one key
// head (see per for sequences that share keys). It owns the rows of DK and DV
// that its sequence sees, so no sums need to be merged: they run over heads,
// then query rows, both ascending. P and dS exist for one tile of query rows
// and one segment of keys at a time; a row of DQ is one chain that continues
// from segment to segment.
type attentionGrad[T number] struct {
	*backend.AttentionGrad
	seqs  []tile
	per   int // sequences of one unit: 1, or all if they share keys
	split attentionGradSplit[T]
}

const (
	gradTileRows = 32  // query rows of a tile
	gradSegment  = 512 // keys of a segment; it bounds memory only, since sums continue across segments
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

// disjoint reports whether no two sequences share a key. It may report false
// for sequences that are not in ascending order of keys.
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
		seqs := j.seqs[t/heads*j.per:][:j.per]
		size := 0
		for _, s := range seqs {
			size = max(size, j.keySegmentSize(s))
		}
		buf := scratch[T](w, j.keySumsSize(seqs)+size+j.gradTileSize())
		sums, buf := j.newKeySums(seqs, t%heads, buf)
		for _, s := range seqs {
			j.sequence(s, sums, buf[:size], buf[size:])
		}
		sums.round(&j.DK, &j.DV)
	}
}

// keySums are the sums for n rows of DK and DV under head g, starting at row
// first, that some sequences see. BF16 gradients are summed in scratch memory.
type keySums[T number] struct {
	g, first, n int
	dk, dv      gradSum[T]
}

// keyRange returns the range of key rows that seqs see: n rows starting at
// first.
func keyRange(seqs []tile) (first, n int) {
	end := 0
	for _, s := range seqs {
		if s.most > 0 {
			if end == 0 {
				first = s.first
			}
			first, end = min(first, s.first), max(end, s.first+s.most)
		}
	}
	return first, end - first
}

func (j *attentionGrad[T]) keySumsSize(seqs []tile) int {
	_, n := keyRange(seqs)
	return gradSumSize(&j.DK, n, 1) + gradSumSize(&j.DV, n, 1)
}

// newKeySums takes its memory from the front of buf and returns the rest of
// buf.
func (j *attentionGrad[T]) newKeySums(seqs []tile, g int, buf []T) (s keySums[T], rest []T) {
	s.g = g
	s.first, s.n = keyRange(seqs)
	clear(buf[:j.keySumsSize(seqs)])
	s.dk, buf = newGradSum(&j.DK, s.first, s.n, g, 1, buf)
	s.dv, buf = newGradSum(&j.DV, s.first, s.n, g, 1, buf)
	return s, buf
}

// round writes the sums to DK and DV where those are BF16.
func (s *keySums[T]) round(dk, dv *backend.View) {
	s.dk.round(dk, s.first, s.first+s.n, s.g, s.g+1)
	s.dv.round(dv, s.first, s.first+s.n, s.g, s.g+1)
}

// gradSum is the memory in which some rows and heads of a gradient [N, H, D]
// are summed: the gradient itself or, if that is BF16, scratch memory.
type gradSum[T number] struct {
	x         []T // starts at row i and head h
	i, h      int
	row, head int // strides
	d         int
}

func gradSumSize(v *backend.View, rows, heads int) int {
	return bufferSize(v, aligned(rows*heads*v.Shape[2]))
}

// newGradSum returns the sums of the given number of rows starting at i and of
// heads starting at h. It takes scratch memory from the front of buf and
// returns the rest of buf.
func newGradSum[T number](v *backend.View, i, rows, h, heads int, buf []T) (s gradSum[T], rest []T) {
	if v.DType != backend.BF16 {
		return gradSum[T]{x: data[T](v), row: v.Strides[0], head: v.Strides[1], d: v.Shape[2]}, buf
	}
	n, d := gradSumSize(v, rows, heads), v.Shape[2]
	return gradSum[T]{x: buf[:n], i: i, h: h, row: heads * d, head: d, d: d}, buf[n:]
}

// at returns the memory starting at row i and head h.
func (s *gradSum[T]) at(i, h int) []T { return s.x[(i-s.i)*s.row+(h-s.h)*s.head:] }

// round writes the sums of rows [i, n) and heads [h, m) to v if v is BF16.
func (s *gradSum[T]) round(v *backend.View, i, n, h, m int) {
	if v.DType != backend.BF16 {
		return
	}
	to := data[uint16](v)
	for ; i < n; i++ {
		for h := h; h < m; h++ {
			narrow(to[i*v.Strides[0]+h*v.Strides[1]:][:s.d], s.at(i, h)[:s.d])
		}
	}
}

// sequence computes the gradients of one sequence under key head sums.g.
func (j *attentionGrad[T]) sequence(s tile, sums keySums[T], forKeys, forTile []T) {
	g := sums.g
	x, t := j.newKeySegment(s, sums, forKeys), j.newGradTile(forTile)
	j.clearUnseen(s, g)
	group := j.Q.Shape[1] / j.K.Shape[1]
	for ; x.first < s.most; x.first += gradSegment {
		j.pack(&x)
		for t.h = g * group; t.h < (g+1)*group; t.h++ {
			for t.lo, t.hi = j.rows(s, s.lo); t.lo < s.hi; t.lo, t.hi = j.rows(s, t.hi) {
				j.tile(&x, &t)
				j.keyGrads(&x, &t, &x.sums.dk, t.ds, t.query, 0, x.n)
				j.keyGrads(&x, &t, &x.sums.dv, t.p, t.dOut, 0, x.n)
			}
		}
	}
}

// rows returns the first tile of s at or after row i; lo is s.hi if there is
// none. Rows that see no keys belong to no tile.
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

// clearUnseen clears the rows of DQ that see no keys: no tile writes them, and
// their old content, perhaps NaN, must not spread.
func (j *attentionGrad[T]) clearUnseen(s tile, g int) {
	length, group := data[int32](&j.Len), j.Q.Shape[1]/j.K.Shape[1]
	for i := s.lo; i < s.hi; i++ {
		for h := g * group; h < (g+1)*group && length[i] <= 0; h++ {
			clearRow(&j.DQ, i, h)
		}
	}
}

// clearRow clears row i of head h of v [N, H, D].
func clearRow(v *backend.View, i, h int) {
	at, d := i*v.Strides[0]+h*v.Strides[1], v.Shape[2]
	switch v.DType {
	case backend.F64:
		clear(data[float64](v)[at:][:d])
	case backend.BF16:
		clear(data[uint16](v)[at:][:d])
	default:
		clear(data[float32](v)[at:][:d])
	}
}

// keySegment is one segment of a sequence's keys, packed: n keys, the first of
// which is key number first of the sequence.
type keySegment[T number] struct {
	seq          tile
	first, n     int
	keysT, valsT []T // Kᵀ [Dk, n] and Vᵀ [Dv, n] in panels
	keys         []T // K [n, Dk] in panels
	wide         []T // BF16 keys or values, widened before they are packed
	sums         keySums[T]
	dq           gradSum[T] // sums of DQ of the sequence's rows
}

func (j *attentionGrad[T]) keySegmentSize(s tile) int {
	n, d, dv := min(s.most, gradSegment), j.Q.Shape[2], j.V.Shape[2]
	wide := max(bufferSize(&j.K, n*d), bufferSize(&j.V, n*dv))
	return asm.PackedSize(d, n) + asm.PackedSize(dv, n) + aligned(asm.PackedSize(n, d)) + aligned(wide) +
		gradSumSize(&j.DQ, s.hi-s.lo, j.Q.Shape[1]/j.K.Shape[1])
}

func (j *attentionGrad[T]) newKeySegment(s tile, sums keySums[T], buf []T) (x keySegment[T]) {
	n, d, dv, group := min(s.most, gradSegment), j.Q.Shape[2], j.V.Shape[2], j.Q.Shape[1]/j.K.Shape[1]
	x.seq, x.sums = s, sums
	a, b := asm.PackedSize(d, n), asm.PackedSize(dv, n)
	x.keysT, x.valsT, buf = buf[:a], buf[a:][:b], buf[a+b:]
	x.keys, buf = buf[:asm.PackedSize(n, d)], buf[aligned(asm.PackedSize(n, d)):]
	x.dq, x.wide = newGradSum(&j.DQ, s.lo, s.hi-s.lo, sums.g*group, group, buf)
	return x
}

func (j *attentionGrad[T]) pack(x *keySegment[T]) {
	x.n = min(gradSegment, x.seq.most-x.first)
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	keys, stride := x.rows(&j.K)
	packPanels(x.keysT, keys, d, x.n, 1, stride)
	packPanels(x.keys, keys, x.n, d, stride, 1)
	values, stride := x.rows(&j.V)
	packPanels(x.valsT, values, dv, x.n, 1, stride)
}

// rows returns the segment's rows of v [R, G, D] and their stride. The result
// is valid until the next call.
func (x *keySegment[T]) rows(v *backend.View) (rows []T, stride int) {
	first := x.seq.first + x.first
	if v.DType != backend.BF16 {
		return keyRows[T](v, first, x.sums.g), v.Strides[0]
	}
	widenRows(x.wide, v.Shape[2], v, first, x.n, x.sums.g)
	return x.wide, v.Shape[2]
}

// gradTile is query rows [lo, hi) of head h, each of which sees at least one
// key, and what scores computes for them.
type gradTile[T number] struct {
	h, lo, hi   int
	most        int // most keys of the segment that one of the rows sees
	query, dOut []T // Q [rows, Dk] and DO [rows, Dv] in panels
	p, ds       []T // [rows, most]
	wide        []T // BF16 rows of Q, DO and O, widened before they are packed
}

func (j *attentionGrad[T]) gradTileSize() int {
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	wide := bufferSize(&j.Q, gradTileRows*d) + bufferSize(&j.DO, gradTileRows*dv) + bufferSize(&j.O, dv)
	return asm.PackedSize(gradTileRows, d) + asm.PackedSize(gradTileRows, dv) + 2*gradTileRows*gradSegment + aligned(wide)
}

func (j *attentionGrad[T]) newGradTile(buf []T) (t gradTile[T]) {
	const n = gradTileRows * gradSegment
	a, b := asm.PackedSize(gradTileRows, j.Q.Shape[2]), asm.PackedSize(gradTileRows, j.V.Shape[2])
	t.query, t.dOut, t.p, t.ds, t.wide = buf[:a], buf[a:][:b], buf[a+b:][:n], buf[a+b+n:][:n], buf[a+b+2*n:]
	return t
}

// tile runs scores on t and, after the last segment, rounds its rows of DQ.
func (j *attentionGrad[T]) tile(x *keySegment[T], t *gradTile[T]) {
	j.scores(x, t)
	if x.first+x.n == x.seq.most {
		x.dq.round(&j.DQ, t.lo, t.hi, t.h, t.h+1)
	}
}

// scores computes P, dS and the packed Q and DO of t, and adds the segment's
// contribution to DQ.
func (j *attentionGrad[T]) scores(x *keySegment[T], t *gradTile[T]) {
	length, logSums, heads, rows := data[int32](&j.Len), data[T](&j.LSE), j.Q.Shape[1], t.hi-t.lo
	d, dv := j.Q.Shape[2], j.V.Shape[2]
	query, queryStride, buf := t.rows(&j.Q, t.wide)
	dOut, dOutStride, buf := t.rows(&j.DO, buf)
	out, _ := newReader(&j.O, dv, buf)
	var visible [gradTileRows]int32
	var lse, delta [gradTileRows]T
	t.most = 0
	for r := range rows {
		seen := min(max(int(length[t.lo+r])-x.first, 0), x.n)
		visible[r], t.most = int32(seen), max(t.most, seen)
		lse[r] = logSums[(t.lo+r)*heads+t.h]
		delta[r] = dot(dOut[r*dOutStride:][:dv], out.at((t.lo+r)*j.O.Strides[0]+t.h*j.O.Strides[1], dv))
	}
	if t.most == 0 {
		return
	}
	gemmPacked(rows, t.most, d, query, queryStride, 1, x.keysT, t.p, t.most, false)
	gemmPacked(rows, t.most, dv, dOut, dOutStride, 1, x.valsT, t.ds, t.most, false)
	softmaxGradRows(t.p[:rows*t.most], t.ds, visible[:rows], lse[:], delta[:], T(j.Scale))

	dq := x.dq.at(t.lo, t.h)
	wide := d
	if t.most < x.n { // use only the first rows of each panel
		wide = asm.PanelWidth
	}
	for c := 0; c < d; c += wide {
		gemmPacked(rows, min(wide, d-c), t.most, t.ds, t.most, 1, x.keys[c*x.n:], dq[c:], x.dq.row, x.first > 0)
	}
	packPanels(t.query, query, rows, d, queryStride, 1)
	packPanels(t.dOut, dOut, rows, dv, dOutStride, 1)
}

// rows returns the tile's rows of v [N, H, D] and their stride. BF16 rows are
// widened into the front of buf. rest is the rest of buf.
func (t *gradTile[T]) rows(v *backend.View, buf []T) (rows []T, stride int, rest []T) {
	if v.DType != backend.BF16 {
		return data[T](v)[t.lo*v.Strides[0]+t.h*v.Strides[1]:], v.Strides[0], buf
	}
	d := v.Shape[2]
	widenRows(buf, d, v, t.lo, t.hi-t.lo, t.h)
	return buf, d, buf[(t.hi-t.lo)*d:]
}

// keyGrads adds weightsᵀ·rows to the gradients of the segment's keys [lo, hi):
// dSᵀ·Q to DK, or Pᵀ·DO to DV.
func (j *attentionGrad[T]) keyGrads(x *keySegment[T], t *gradTile[T], to *gradSum[T], weights, rows []T, lo, hi int) {
	if hi = min(hi, t.most); lo < hi {
		sum := to.at(x.seq.first+x.first+lo, x.sums.g)
		gemmPacked(hi-lo, to.d, t.hi-t.lo, weights[lo:], 1, t.most, rows, sum, to.row, true)
	}
}

// softmaxGradRows turns the products Q·Kᵀ in p and DO·Vᵀ in ds into P and dS.
// Row r sees the first visible[r] keys; P and dS of the others are 0.
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

// zeroKeyGrads is the job that clears DK and DV, split by key rows.
type zeroKeyGrads[T number] backend.AttentionGrad

func (o *zeroKeyGrads[T]) run(_ *worker, lo, hi int) {
	for r := lo; r < hi; r++ {
		for g := range o.K.Shape[1] {
			clearRow(&o.DK, r, g)
			clearRow(&o.DV, r, g)
		}
	}
}
