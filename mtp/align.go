package mtp

import "github.com/aha-go/aha/model"

// alignment describes the rows of one depth: the rows of the previous depth that it keeps,
// the tokens that they read, and the tokens that they predict.
type alignment struct {
	lengths []int   // rows per sequence; sequences without rows are left out
	keep    []int32 // indices into the rows of the previous depth
	ids     []int32 // the token k places after the row's own
	targets []int32 // the token k+1 places after it; −1 if masked
	weight  []float64
}

// starts returns the index of the first row of each sequence, followed by the number of
// rows.
func (a alignment) starts() []int32 {
	at := []int32{0}
	for _, n := range a.lengths {
		at = append(at, at[len(at)-1]+int32(n))
	}
	return at
}

func lengths(seqs []model.Sequence) []int {
	n := make([]int, len(seqs))
	for i, q := range seqs {
		n[i] = q.Rows()
	}
	return n
}

// align computes the alignment of depth k ≥ 1, where prev is the number of rows per
// sequence at depth k−1. A sequence of tokens t_0…t_T has T rows at depth 0 and T−k rows at
// depth k; row i of depth k belongs to token t_i, reads t_{i+k} and predicts t_{i+k+1}.
func align(b model.Batch, k int, prev []int) alignment {
	var a alignment
	at, next := 0, 0
	for _, q := range b.Host {
		had := max(q.Rows()-k+1, 0)
		if had == 0 {
			continue
		}
		if prev[next] != had {
			panic("mtp: the rows of two depths do not match")
		}
		next++
		n := had - 1
		for i := range n {
			w, target := 1.0, q.IDs[i+k+1]
			if q.Weight != nil {
				w = float64(q.Weight[i+k])
			}
			if w == 0 {
				target = -1
			}
			a.keep = append(a.keep, int32(at+i))
			a.ids = append(a.ids, q.IDs[i+k])
			a.targets = append(a.targets, target)
			a.weight = append(a.weight, w/b.Norm)
		}
		if n > 0 {
			a.lengths = append(a.lengths, n)
		}
		at += had
	}
	return a
}

// LambdaSchedule is the weight λ of the MTP loss during training (DeepSeek-V3 §4.2): Early
// until Switch tokens have been consumed, then Late.
type LambdaSchedule struct {
	Early, Late float64
	Switch      int64
}

// V3LambdaSchedule is 0.3 for the first 10T tokens, then 0.1.
var V3LambdaSchedule = LambdaSchedule{Early: 0.3, Late: 0.1, Switch: 10e12}

// At returns λ after the given number of consumed tokens.
func (s LambdaSchedule) At(tokens int64) float64 {
	if tokens < s.Switch {
		return s.Early
	}
	return s.Late
}
