package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Attention with few query vectors, which is also the definition: one row of
// scores at a time, with keys in the SIMD lanes.

// packValues is the minimum number of query vectors for which packing a
// segment's values pays off.
const packValues = 4

// rowScratch is the scratch memory of one segment: packed keys and values, the
// scores of one batch and, for BF16 operands, widened copies of the block's
// queries, a panel of keys, the values and a row of the output.
type rowScratch[T number] struct {
	keys, values, scores             []T
	query, wideKeys, wideValues, out []T
}

func (j *attention[T]) rowScratchSize(b *block) int {
	n := min(aligned(b.most), segmentKeys)
	size := asm.PackedSize(j.Q.Shape[2], n) + aligned(b.size*n)
	if b.size >= packValues {
		size += asm.PackedSize(n, j.V.Shape[2])
	}
	return size + bufferSize(&j.Q, b.batches()*b.size*j.Q.Shape[2]) + bufferSize(&j.K, asm.PanelWidth*j.Q.Shape[2]) +
		bufferSize(&j.V, n*j.V.Shape[2]) + bufferSize(&j.O, j.V.Shape[2])
}

func (j *attention[T]) newRowScratch(b *block, buf []T) (p rowScratch[T]) {
	n := min(aligned(b.most), segmentKeys)
	p.keys, buf = buf[:asm.PackedSize(j.Q.Shape[2], n)], buf[asm.PackedSize(j.Q.Shape[2], n):]
	p.scores, buf = buf[:b.size*n], buf[aligned(b.size*n):]
	if b.size >= packValues {
		size := asm.PackedSize(n, j.V.Shape[2])
		p.values, buf = buf[:size], buf[size:]
	}
	take := func(v *backend.View, n int) (part []T) {
		n = bufferSize(v, n)
		part, buf = buf[:n], buf[n:]
		return part
	}
	p.query = take(&j.Q, b.batches()*b.size*j.Q.Shape[2])
	p.wideKeys, p.wideValues = take(&j.K, asm.PanelWidth*j.Q.Shape[2]), take(&j.V, n*j.V.Shape[2])
	p.out = take(&j.O, j.V.Shape[2])
	for l := range b.batches() {
		if q := b.batch(l); len(p.query) > 0 {
			widenVectors(p.query[l*b.size*j.Q.Shape[2]:], &q, &j.Q)
		}
	}
	return p
}

// packKeys packs n keys of head g starting at row first.
func (p *rowScratch[T]) packKeys(k *backend.View, first, n, g int) {
	d := k.Shape[2]
	if k.DType != backend.BF16 {
		packPanels(p.keys, keyRows[T](k, first, g), d, n, 1, k.Strides[0])
		return
	}
	for i := 0; i < n; i += asm.PanelWidth { // a panel at a time stays in the first-level cache
		m := min(asm.PanelWidth, n-i)
		widenRows(p.wideKeys, d, k, first+i, m, g)
		packPanels(p.keys[i*d:], p.wideKeys, d, m, 1, d)
	}
}

// valueRows returns n values of head g starting at row first, and their stride.
func (p *rowScratch[T]) valueRows(v *backend.View, first, n, g int) (rows []T, stride int) {
	if v.DType != backend.BF16 {
		return keyRows[T](v, first, g), v.Strides[0]
	}
	widenRows(p.wideValues, v.Shape[2], v, first, n, g)
	return p.wideValues, v.Shape[2]
}

func (j *attention[T]) attendRows(b *block, s int, p *rowScratch[T], to partial[T]) {
	first := s * segmentKeys
	n, d, dv := min(b.most-first, segmentKeys), j.Q.Shape[2], j.V.Shape[2]
	row := segmentRow(j.Attention, b, s)
	length := data[int32](&j.Len)
	// Packing whole panels is faster, so keys beyond the last visible one are
	// packed too if K has them. Their scores are not read.
	width := min(aligned(n), j.K.Shape[0]-row)
	p.packKeys(&j.K, row, width, b.g)
	values, valueStride := p.valueRows(&j.V, row, n, b.g)
	packed := 0 // keys whose values are packed: those that every row sees
	if len(p.values) > 0 {
		packed = n
		for i := b.lo; i < b.hi; i++ {
			packed = min(packed, max(int(length[i])-first, 0))
		}
		packPanels(p.values, values, packed, dv, valueStride, 1)
	}
	for l := range b.batches() {
		q := b.batch(l)
		query, step := p.query[min(l*b.size*d, len(p.query)):], d
		if j.Q.DType != backend.BF16 {
			var from int
			from, step = q.place(&j.Q)
			query = data[T](&j.Q)[from:]
		}
		gemmPacked(q.n, width, d, query, step, 1, p.keys, p.scores, width, false)
		at := l * b.width
		for r := range q.n {
			x := p.scores[r*width:][:q.visible(length, r, first, n)]
			scale(x, x, T(j.Scale))
			to.m[at+r], to.sum[at+r] = expShifted(x, x)
		}
		o := to.o[at*dv:][:q.n*dv]
		gemmPacked(q.n, dv, packed, p.scores, width, 1, p.values, o, dv, false)
		for r := range q.n {
			if seen := q.visible(length, r, first, n); seen > packed {
				weightedSum(o[r*dv:][:dv], p.scores[r*width+packed:][:seen-packed], values[packed*valueStride:], valueStride)
			}
		}
	}
}

func mergeRows[T number](into, part partial[T]) {
	dv := len(into.o) / max(len(into.m), 1)
	for i, m := range part.m {
		w := [2]T{into.m[i], m}
		into.m[i] = max(w[0], w[1])
		if math.IsInf(float64(into.m[i]), -1) {
			expSub(w[:], w[:], 0)
		} else {
			expSub(w[:], w[:], into.m[i])
		}
		into.sum[i] = T(into.sum[i]*w[0]) + T(part.sum[i]*w[1])
		o := into.o[i*dv:][:dv]
		scale(o, o, w[0])
		addScaled(o, part.o[i*dv:][:dv], w[1])
	}
}

func (j *attention[T]) finishRows(b *block, p *rowScratch[T], from partial[T]) {
	length, heads, dv := data[int32](&j.Len), j.Q.Shape[1], j.V.Shape[2]
	lse := data[T](&j.LSE)
	out, _ := newWriter(&j.O, dv, p.out)
	for l := range b.batches() {
		q := b.batch(l)
		place, step := q.place(&j.O)
		for r := range q.n {
			o, at := out.at(place+r*step, dv), l*b.width+r
			ls := &lse[(q.i+r*q.di)*heads+q.h+r*q.dh]
			if length[q.i+r*q.di] <= 0 {
				unseen(o, ls)
			} else {
				clear(o)
				addScaled(o, from.o[at*dv:][:dv], 1/from.sum[at])
				*ls = logSum(from.m[at], from.sum[at])
			}
			out.done(place+r*step, dv)
		}
	}
}
