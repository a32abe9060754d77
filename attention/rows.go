package attention

import (
	"fmt"

	"github.com/aha-go/aha/backend/tensor"
)

// Rows places the N packed rows of a forward: where each token stands in its
// sequence and which key rows it sees.
type Rows struct {
	Pos   tensor.Tensor // [N] I32: position in the sequence
	Start tensor.Tensor // [N] I32: first key row it sees
	Len   tensor.Tensor // [N] I32: number of key rows it sees, its own the last
	Cache tensor.Tensor // [N] I32: cache row its key goes to; absent without a cache
}

// Pack places whole sequences of the given lengths one after the other, for
// training and scoring.
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

// Span is N tokens of one sequence, from position From on, whose keys are in a slot of a cache.
type Span struct{ Slot, From, N int }

// Places are Rows on the host, one after the other.
type Places struct{ Pos, Start, Len, Cache []int32 }

// Add places the tokens of a span over a cache of slots of maxLen tokens, where position p of
// slot q is row q·maxLen + p: each token sees its sequence's keys from position 0 up to its
// own. A span that leaves its slot panics.
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

// Continue places the tokens of spans one after the other over a cache of slots of maxLen
// tokens, as Places.Add does. A prompt is the span of its tokens from 0; to decode is a span
// of one token a sequence.
func Continue(s *tensor.Scope, maxLen int, spans ...Span) Rows {
	var p Places
	for _, span := range spans {
		p.Add(maxLen, span)
	}
	n := len(p.Pos)
	return Rows{Pos: s.Ints(p.Pos, n), Start: s.Ints(p.Start, n), Len: s.Ints(p.Len, n), Cache: s.Ints(p.Cache, n)}
}
