package attention

import (
	"fmt"

	"github.com/aha-go/aha/backend/tensor"
)

// Rows describes the N packed rows of a forward: the position of each token in its
// sequence, and the range of key rows that it attends to.
type Rows struct {
	Pos   tensor.Tensor // [N] I32: position in the sequence
	Start tensor.Tensor // [N] I32: first key row that the token attends to
	Len   tensor.Tensor // [N] I32: number of key rows that it attends to; the last is its own
	Cache tensor.Tensor // [N] I32: cache row that its key is written to; absent without a cache
}

// Pack returns the rows of whole sequences of the given lengths, packed one after the
// other, for training and scoring.
func Pack(s *tensor.Scope, lengths []int) Rows {
	total := 0
	for _, n := range lengths {
		if n < 0 {
			panic(fmt.Sprintf("attention: Pack: length %d", n))
		}
		total += n
	}
	pos, start, length := make([]int32, 0, total), make([]int32, 0, total), make([]int32, 0, total)
	at := int32(0)
	for _, n := range lengths {
		for i := range int32(n) {
			pos, start, length = append(pos, i), append(start, at), append(length, i+1)
		}
		at += int32(n)
	}
	return Rows{Pos: s.Ints(pos, total), Start: s.Ints(start, total), Len: s.Ints(length, total)}
}

// Span is a run of N tokens of one sequence, starting at position From, whose keys are
// stored in one slot of a cache.
type Span struct{ Slot, From, N int }

// Places holds the elements of Rows in host memory while they are collected.
type Places struct{ Pos, Start, Len, Cache []int32 }

// Add appends the rows of a span over a cache of slots of maxLen tokens, in which position
// p of slot q is row q·maxLen + p. Each token attends to the keys of its sequence from
// position 0 up to its own. A span that exceeds its slot panics.
func (p *Places) Add(maxLen int, span Span) {
	if span.Slot < 0 || span.From < 0 || span.N < 0 || span.From > maxLen-span.N {
		panic(fmt.Sprintf("attention: Places.Add: %+v over slots of %d tokens", span, maxLen))
	}
	base := int32(span.Slot * maxLen)
	for i := int32(span.From); i < int32(span.From+span.N); i++ {
		p.Pos, p.Start = append(p.Pos, i), append(p.Start, base)
		p.Len, p.Cache = append(p.Len, i+1), append(p.Cache, base+i)
	}
}

// Continue returns the rows of the given spans, one after the other, over a cache of slots
// of maxLen tokens; see Places.Add. To prefill a prompt, pass a span that starts at 0; to
// decode, pass a span of one token for each sequence.
func Continue(s *tensor.Scope, maxLen int, spans ...Span) Rows {
	var p Places
	for _, span := range spans {
		p.Add(maxLen, span)
	}
	n := len(p.Pos)
	return Rows{Pos: s.Ints(p.Pos, n), Start: s.Ints(p.Start, n), Len: s.Ints(p.Len, n), Cache: s.Ints(p.Cache, n)}
}
