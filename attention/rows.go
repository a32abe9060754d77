// Package attention has the attention mechanisms of the DeepSeek family and
// of its distilled students: multi-head latent attention (MLA), naive and
// weight-absorbed, and grouped-query attention (GQA), over packed batches of
// ragged sequences and over caches, with rotary embedding and YaRN.
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
