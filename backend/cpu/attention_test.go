package cpu

import (
	"fmt"
	"testing"

	"github.com/aha-go/aha/backend"
)

func TestAttentionHasTheSameBitsPackedChunkedAndDecoded(t *testing.T) {
	t.Run("F32", func(t *testing.T) { testAttentionForms[float32](t, backend.F32) })
	t.Run("F64", func(t *testing.T) { testAttentionForms[float64](t, backend.F64) })
}

func testAttentionForms[T number](t *testing.T, dt backend.DType) {
	const first, n, heads, groups, dk, dv, slots, place = 29, 75, 4, 2, 48, 32, 300, 130
	s := newBench(t, dt, 2, 4)
	// The trainer's batch: this sequence lies between two others.
	start, length := sequencesOf(first, n, 40)
	total := len(start)
	batch := &backend.Attention{
		O: s.zeros(total, heads, dv), LSE: s.zeros(total, heads),
		Q: s.normal(total, heads, dk), K: s.normal(total, groups, dk), V: s.normal(total, groups, dv),
		Start: s.ints(start, total), Len: s.ints(length, total), Scale: 0.144,
	}
	s.do(batch)
	wantO, wantLSE := content[T](batch.O.Slice(0, first, first+n)), content[T](batch.LSE.Slice(0, first, first+n))

	// The rollout's cache: the same keys and values as parts of wider rows, at
	// another place, beside the leftovers of another request.
	cache := s.normal(slots, groups, dk+dv)
	for i := range n {
		for v, from := range map[*backend.View]int{&batch.K: 0, &batch.V: dk} {
			src, dst := v.Index(first+i), cache.Index(place+i).Slice(1, from, from+v.Shape[2])
			s.do(&backend.Copy{Dst: dst, Src: src})
		}
	}
	for _, chunks := range [][]int{{n}, {1, n - 1}, {40, 30, 5}, {n - 3, 1, 1, 1}} {
		var o, lse []T
		done := 0
		for _, c := range chunks {
			start, length := make([]int32, c), make([]int32, c)
			for i := range c {
				start[i], length[i] = place, int32(done+i+1)
			}
			op := &backend.Attention{
				O: s.zeros(c, heads, dv), LSE: s.zeros(c, heads), Q: batch.Q.Slice(0, first+done, first+done+c),
				K: cache.Slice(2, 0, dk), V: cache.Slice(2, dk, dk+dv), Start: s.ints(start, c), Len: s.ints(length, c), Scale: 0.144,
			}
			s.do(op)
			o, lse = append(o, content[T](op.O)...), append(lse, content[T](op.LSE)...)
			done += c
		}
		sameBits(t, fmt.Sprint("O in chunks ", chunks), o, wantO)
		sameBits(t, fmt.Sprint("LSE in chunks ", chunks), lse, wantLSE)
	}
}

func TestAttentionGradOfASequenceDoesNotDependOnTheBatch(t *testing.T) {
	const first, n, heads, groups, dk, dv = 50, 33, 4, 2, 48, 32
	s := newBench(t, backend.F32, 2, 5)
	start, length := sequencesOf(first, n, 20)
	total := len(start)
	op := func(lo, hi int, start, length []int32, in backend.AttentionGrad) *backend.AttentionGrad {
		return &backend.AttentionGrad{
			DQ: s.zeros(hi-lo, heads, dk), DK: s.zeros(hi-lo, groups, dk), DV: s.zeros(hi-lo, groups, dv),
			DO: in.DO.Slice(0, lo, hi), O: in.O.Slice(0, lo, hi), LSE: in.LSE.Slice(0, lo, hi),
			Q: in.Q.Slice(0, lo, hi), K: in.K.Slice(0, lo, hi), V: in.V.Slice(0, lo, hi),
			Start: s.ints(start, hi-lo), Len: s.ints(length, hi-lo), Scale: 0.1,
		}
	}
	in := backend.AttentionGrad{
		DO: s.normal(total, heads, dv), O: s.normal(total, heads, dv), LSE: s.positive(total, heads),
		Q: s.normal(total, heads, dk), K: s.normal(total, groups, dk), V: s.normal(total, groups, dv),
	}
	batch := op(0, total, start, length, in)
	s.do(batch)
	start, length = sequencesOf(n)
	alone := op(first, first+n, start, length, in)
	s.do(alone)
	sameBits(t, "DQ", content[float32](alone.DQ), content[float32](batch.DQ.Slice(0, first, first+n)))
	sameBits(t, "DK", content[float32](alone.DK), content[float32](batch.DK.Slice(0, first, first+n)))
	sameBits(t, "DV", content[float32](alone.DV), content[float32](batch.DV.Slice(0, first, first+n)))
}

func TestAttentionNamesTheRowWhoseKeysAreOutside(t *testing.T) {
	s := newBench(t, backend.F32, 1, 6)
	op := &backend.Attention{O: s.zeros(2, 1, 4), LSE: s.zeros(2, 1), Q: s.normal(2, 1, 4), K: s.normal(3, 1, 4), V: s.normal(3, 1, 4),
		Start: s.ints([]int32{0, 2}, 2), Len: s.ints([]int32{1, 2}, 2), Scale: 1}
	panics(t, func() { s.do(op) }, "Attention", "row 1", "2 to 4 of 3")
}
