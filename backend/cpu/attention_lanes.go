package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Attention with many query vectors: kernels compute 16 of them at once, one in
// each SIMD lane. A segment's scores are K·Qᵀ [keys, Lanes] and its output is
// Vᵀ·P [Dv, Lanes], so keys and values are broadcast straight from memory and
// only queries are packed. Each lane gets the bits that attention by rows
// gives.

// laneScratch is the scratch memory of one block: the packed queries, the
// scores of one batch (also used to transpose its output), copies of a
// segment's keys and values where copyStride asks for them, and one row of BF16
// output before it is rounded.
type laneScratch struct {
	queries, scores, keys, values, out []float32
	keyStride, valueStride             int
}

func laneScratchSize(o *backend.Attention, b *block) int {
	size := b.batches()*asm.PackedSize(o.Q.Shape[2], asm.Lanes) + scoresSize(o) + bufferSize(&o.O, aligned(o.V.Shape[2]))
	if stride, copied := copyStride(o, &o.K, b); copied {
		size += segmentKeys * stride
	}
	if stride, copied := copyStride(o, &o.V, b); copied {
		size += segmentKeys * stride
	}
	return size
}

func scoresSize(o *backend.Attention) int {
	size := max(segmentKeys*asm.Lanes, asm.PackedSize(asm.Lanes, o.V.Shape[2]))
	return max(size, bufferSize(&o.Q, asm.Lanes*aligned(o.Q.Shape[2]))) // room for BF16 queries before they are packed
}

// copyStride reports whether a segment of v [R, G, D] is to be copied before
// use, and returns the row stride of the copy, an odd number of cache lines, or
// of v. It is copied if
//
//   - v is BF16, which must be widened;
//   - v is values in another buffer than the keys: they are read by columns and
//     are not yet in the cache, so reading them once by rows is faster; or
//   - its rows lie a multiple of 2 KiB apart, so that they compete for a few
//     sets of the first-level cache, and three batches or more use them.
//
// Values that are a part of the keys are read from the copy of the keys.
func copyStride(o *backend.Attention, v *backend.View, b *block) (stride int, copied bool) {
	const line = 16
	if v == &o.V {
		if _, ok := valuesInKeys(o); ok {
			stride, _ = copyStride(o, &o.K, b)
			return stride, false
		}
	}
	if v.DType != backend.BF16 && v.Buf == o.K.Buf && (v.Strides[0]%512 != 0 || b.batches() < 3) {
		return v.Strides[0], false
	}
	return (ceil(v.Shape[2], line) | 1) * line, true
}

func newLaneScratch(o *backend.Attention, b *block, buf []float32) (p laneScratch) {
	d := o.Q.Shape[2]
	size := asm.PackedSize(d, asm.Lanes)
	p.queries, buf = buf[:b.batches()*size], buf[b.batches()*size:]
	p.scores, buf = buf[:scoresSize(o)], buf[scoresSize(o):]
	var copied bool
	if p.keyStride, copied = copyStride(o, &o.K, b); copied {
		p.keys, buf = buf[:segmentKeys*p.keyStride], buf[segmentKeys*p.keyStride:]
	}
	if p.valueStride, copied = copyStride(o, &o.V, b); copied {
		p.values, buf = buf[:segmentKeys*p.valueStride], buf[segmentKeys*p.valueStride:]
	}
	p.out = buf[:bufferSize(&o.O, o.V.Shape[2])]
	for l := range b.batches() {
		q := b.batch(l)
		query, step := p.scores, d
		if o.Q.DType == backend.BF16 {
			widenVectors(p.scores, &q, &o.Q)
		} else {
			var from int
			from, step = q.place(&o.Q)
			query = data[float32](&o.Q)[from:]
		}
		asm.PackB(p.queries[l*size:][:size], query, d, q.n, 1, step)
	}
	return p
}

// rowsOf returns n rows of v [R, G, D] starting at row first of head g. If buf
// is not nil, it copies them there, stride apart; BF16 is widened.
func rowsOf(v *backend.View, first, n, g int, buf []float32, stride int) []float32 {
	if v.DType == backend.BF16 {
		widenRows(buf, stride, v, first, n, g)
		return buf
	}
	x := keyRows[float32](v, first, g)
	if buf == nil {
		return x
	}
	for i := range n {
		copy(buf[i*stride:][:v.Shape[2]], x[i*v.Strides[0]:])
	}
	return buf
}

func attendLanes(op *backend.Attention, b *block, s int, p *laneScratch, to partial[float32]) {
	first := s * segmentKeys
	n, d, dv := min(b.most-first, segmentKeys), op.Q.Shape[2], op.V.Shape[2]
	row := segmentRow(op, b, s)
	keys := rowsOf(&op.K, row, n, b.g, p.keys, p.keyStride)
	var values []float32
	if at, ok := valuesInKeys(op); ok {
		values = keys[at:]
	} else {
		values = rowsOf(&op.V, row, n, b.g, p.values, p.valueStride)
	}
	length := data[int32](&op.Len)
	for l := range b.batches() {
		q := b.batch(l)
		var visible [asm.Lanes]int32
		most, least := 0, n // keys that at least one vector sees, and keys that all see
		for r := range q.n {
			seen := q.visible(length, r, first, n)
			visible[r], most, least = int32(seen), max(most, seen), min(least, seen)
		}
		at := l * asm.Lanes
		asm.ScoreLanes(p.scores, keys, p.keyStride, most, d, p.queries[at*d:])
		asm.SoftmaxLanes(p.scores, most, &visible, float32(op.Scale), (*[asm.Lanes]float32)(to.m[at:]),
			(*[asm.Lanes]float32)(to.sum[at:]))
		o := to.o[at*dv:][:asm.Lanes*dv]
		asm.GemmPacked(dv, asm.Lanes, least, values, 1, p.valueStride, p.scores, o, asm.Lanes, false)
		asm.WeightedSumLanes(o, values, p.valueStride, dv, p.scores, least, most, &visible)
	}
}

func mergeLanes(b *block, into, part partial[float32]) {
	dv := len(into.o) / len(into.m)
	for at := 0; at < len(into.m); at += asm.Lanes {
		m1, m2 := into.m[at:][:asm.Lanes], part.m[at:][:asm.Lanes]
		var w1, w2 [asm.Lanes]float32
		for i := range asm.Lanes {
			m := max(m1[i], m2[i])
			w1[i], w2[i] = m1[i], m2[i]
			if !math.IsInf(float64(m), -1) {
				w1[i] -= m
				w2[i] -= m
			}
			m1[i] = m
		}
		asm.Exp(w1[:], w1[:])
		asm.Exp(w2[:], w2[:])
		sum1, sum2 := into.sum[at:][:asm.Lanes], part.sum[at:][:asm.Lanes]
		for i := range asm.Lanes {
			sum1[i] = float32(sum1[i]*w1[i]) + float32(sum2[i]*w2[i])
		}
		asm.MergeLanes(into.o[at*dv:][:asm.Lanes*dv], part.o[at*dv:], &w1, &w2)
	}
}

func finishLanes(op *backend.Attention, b *block, p *laneScratch, from partial[float32]) {
	length, heads, dv := data[int32](&op.Len), op.Q.Shape[1], op.V.Shape[2]
	lse := data[float32](&op.LSE)
	out, _ := newWriter(&op.O, dv, p.out)
	for l := range b.batches() {
		q := b.batch(l)
		at := l * asm.Lanes
		sum, o := from.sum[at:][:asm.Lanes], from.o[at*dv:][:asm.Lanes*dv]
		var inverse [asm.Lanes]float32
		for i, v := range sum {
			inverse[i] = 1 / v
		}
		asm.ScaleLanes(o, &inverse)
		asm.PackB(p.scores, o, asm.Lanes, dv, 1, asm.Lanes)
		place, step := q.place(&op.O)
		for r := range q.n {
			y := out.at(place+r*step, dv)
			ls := &lse[(q.i+r*q.di)*heads+q.h+r*q.dh]
			if length[q.i+r*q.di] <= 0 {
				unseen(y, ls)
			} else {
				for c := 0; c < dv; c += asm.Lanes {
					copy(y[c:], p.scores[(c+r)*asm.Lanes:][:asm.Lanes])
				}
				*ls = logSum(from.m[at+r], sum[r])
			}
			out.done(place+r*step, dv)
		}
	}
}
