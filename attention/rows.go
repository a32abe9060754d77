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

// Continue places the tokens of spans one after the other over a cache of slots of maxLen
// tokens: each token sees its sequence's keys from position 0 up to its own. A prompt is
// the span of its tokens from 0; to decode is a span of one token a sequence. A span that
// leaves its slot panics.
func Continue(s *tensor.Scope, maxLen int, spans ...Span) Rows {
	var pos, start, length, cache []int32
	for _, p := range spans {
		if p.Slot < 0 || p.From < 0 || p.N < 0 || p.From > maxLen-p.N {
			panic(fmt.Sprintf("attention: Continue: %+v over slots of %d tokens", p, maxLen))
		}
		base := int32(p.Slot * maxLen)
		for i := int32(p.From); i < int32(p.From+p.N); i++ {
			pos, start, length, cache = append(pos, i), append(start, base), append(length, i+1), append(cache, base+i)
		}
	}
	n := len(pos)
	return Rows{Pos: s.Ints(pos, n), Start: s.Ints(start, n), Len: s.Ints(length, n), Cache: s.Ints(cache, n)}
}
