package model

import (
	"fmt"

	"github.com/aha-go/aha/attention"
	"github.com/aha-go/aha/backend/tensor"
)

// Sequence is a training sequence in host memory.
type Sequence struct {
	IDs []int32 // the tokens, at least two
	// Weight multiplies the loss of predicting IDs[i+1] from IDs[:i+1]. A weight of 0 masks
	// the target. Its length is len(IDs)−1; nil means 1 for all.
	Weight []float32
	// Experts are the experts that each gate of the model routes each row to, such as those
	// of Completion.Experts. Its length is Rows() times Model.ExpertsPerRow; if nil, the
	// gates choose. Either all sequences of a batch have Experts or none has.
	Experts []uint16
}

// Batch is a micro-batch of packed sequences on the device: row i reads IDs[i] and predicts
// Targets[i]. A sequence of T tokens has T−1 rows.
type Batch struct {
	IDs      tensor.Tensor // [N] I32
	Targets  tensor.Tensor // [N] I32; −1 if masked
	Weight   tensor.Tensor // [N]: normalised weight of each row's loss
	Rows     attention.Rows
	SeqStart tensor.Tensor // [S+1] I32: first row of each sequence, followed by N
	Host     []Sequence    // the sequences that the batch was made from

	Norm      float64 // sum of the weights of the global batch, by which Weight was divided
	Sequences int     // number of sequences in the global batch

	routing routing
}

// Global holds the normalisers of a global batch, before it is split into micro-batches.
type Global struct {
	Weight    float64 // sum of the weights of all targets
	Sequences int     // number of sequences
}

// Totals returns the normalisers of seqs as one global batch.
func Totals(seqs []Sequence) Global {
	g := Global{Sequences: len(seqs)}
	for _, q := range seqs {
		for i := range len(q.IDs) - 1 {
			g.Weight += q.weight(i)
		}
	}
	return g
}

func (q Sequence) weight(i int) float64 {
	if q.Weight == nil {
		return 1
	}
	return float64(q.Weight[i])
}

// Rows returns the number of rows that the sequence has in a batch.
func (q Sequence) Rows() int { return len(q.IDs) - 1 }

// NewBatch packs seqs on the device of s. g are the totals of the global batch that seqs
// belong to, so that splitting a batch into micro-batches does not change the loss.
// NewBatch panics if a sequence has fewer than two tokens, more rows than
// max_position_embeddings, a number of weights other than its number of rows, or experts
// that CheckExperts rejects.
func (m *Model) NewBatch(s *tensor.Scope, seqs []Sequence, g Global) Batch {
	var ids, targets []int32
	var weight []float64
	lengths := make([]int, len(seqs))
	starts := make([]int32, len(seqs)+1)
	for i, q := range seqs {
		if len(q.IDs) < 2 || q.Weight != nil && len(q.Weight) != len(q.IDs)-1 {
			panic(fmt.Sprintf("model: NewBatch: sequence %d has %d tokens and %d weights", i, len(q.IDs), len(q.Weight)))
		}
		if len(q.IDs)-1 > m.Config.MaxPositionEmbeddings {
			panic(fmt.Sprintf("model: NewBatch: sequence %d has %d tokens, max_position_embeddings is %d", i, len(q.IDs),
				m.Config.MaxPositionEmbeddings))
		}
		for j := range q.Rows() {
			w, target := q.weight(j), q.IDs[j+1]
			if w == 0 {
				target = -1
			}
			ids, targets, weight = append(ids, q.IDs[j]), append(targets, target), append(weight, w/g.Weight)
		}
		lengths[i] = q.Rows()
		starts[i+1] = starts[i] + int32(q.Rows())
	}
	n := len(ids)
	b := Batch{
		IDs: s.Ints(ids, n), Targets: s.Ints(targets, n), Weight: s.Floats(m.Params.DType(), weight, n),
		Rows: attention.Pack(s, lengths), SeqStart: s.Ints(starts, len(starts)), Host: seqs,
		Norm: g.Weight, Sequences: g.Sequences,
	}
	b.routing.given = m.given(s, seqs)
	return b
}

// MicroBatches splits seqs, in order, into groups of at most maxRows rows each. A sequence
// longer than maxRows gets a group of its own. If maxRows is 0, there is one group.
func MicroBatches(seqs []Sequence, maxRows int) [][]Sequence {
	var out [][]Sequence
	rows, from := 0, 0
	for i, q := range seqs {
		if i > from && maxRows > 0 && rows+q.Rows() > maxRows {
			out = append(out, seqs[from:i])
			rows, from = 0, i
		}
		rows += q.Rows()
	}
	if from < len(seqs) {
		out = append(out, seqs[from:])
	}
	return out
}
