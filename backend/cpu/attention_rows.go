package cpu

import (
	"math"

	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// The form of attention for few query vectors, and its definition: a row of
// scores at a time, keys in the lanes.

// packValues is how many query vectors pay for packing a segment's values.
const packValues = 4

// rowScratch is the memory of one segment: keys and values packed, scores of one
// batch.
type rowScratch[T number] struct{ keys, values, scores []T }

func (j *attention[T]) rowScratchSize(b *block) int {
	n := min(aligned(b.most), segmentKeys)
	size := asm.PackedSize(j.Q.Shape[2], n) + aligned(b.size*n)
	if b.size >= packValues {
		size += asm.PackedSize(n, j.V.Shape[2])
	}
	return size
}

func (j *attention[T]) newRowScratch(b *block, buf []T) (p rowScratch[T]) {
	n := min(aligned(b.most), segmentKeys)
	p.keys, buf = buf[:asm.PackedSize(j.Q.Shape[2], n)], buf[asm.PackedSize(j.Q.Shape[2], n):]
	p.scores, p.values = buf[:b.size*n], buf[aligned(b.size*n):]
	return p
}

func (j *attention[T]) attendRows(b *block, s int, p *rowScratch[T], to partial[T]) {
	first := s * segmentKeys
	n, d, dv := min(b.most-first, segmentKeys), j.Q.Shape[2], j.V.Shape[2]
	row := segmentRow(j.Attention, b, s)
	keys, values := keyRows[T](&j.K, row, b.g), keyRows[T](&j.V, row, b.g)
	query, length := data[T](&j.Q), data[int32](&j.Len)
	// A whole panel packs faster: keys beyond the last join it where there are
	// some, and nobody looks at their scores.
	width := min(aligned(n), j.K.Shape[0]-row)
	packPanels(p.keys, keys, d, width, 1, j.K.Strides[0])
	packed := 0 // keys whose values are packed: those that every row sees
	if len(p.values) > 0 {
		packed = n
		for i := b.lo; i < b.hi; i++ {
			packed = min(packed, max(int(length[i])-first, 0))
		}
		packPanels(p.values, values, packed, dv, j.V.Strides[0], 1)
	}
	for l := range b.batches() {
		q := b.batch(l)
		from, step := q.place(&j.Q)
		gemmPacked(q.n, width, d, query[from:], step, 1, p.keys, p.scores, width, false)
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
				weightedSum(o[r*dv:][:dv], p.scores[r*width+packed:][:seen-packed], values[packed*j.V.Strides[0]:], j.V.Strides[0])
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

func (j *attention[T]) finishRows(b *block, from partial[T]) {
	out, lse := data[T](&j.O), data[T](&j.LSE)
	length, heads, dv := data[int32](&j.Len), j.Q.Shape[1], j.V.Shape[2]
	for l := range b.batches() {
		q := b.batch(l)
		place, step := q.place(&j.O)
		for r := range q.n {
			o, at := out[place+r*step:][:dv], l*b.width+r
			ls := &lse[(q.i+r*q.di)*heads+q.h+r*q.dh]
			if length[q.i+r*q.di] <= 0 {
				unseen(o, ls)
				continue
			}
			clear(o)
			addScaled(o, from.o[at*dv:][:dv], 1/from.sum[at])
			*ls = logSum(from.m[at], from.sum[at])
		}
	}
}
