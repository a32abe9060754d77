package tensor

import "fmt"

// Kind says what a parameter is to a model: optimizers, adapters and checkpoints go by it,
// not by names.
type Kind uint8

const (
	KindOther     Kind = iota // made by NewParam, such as an optimizer's moments
	KindMatrix                // [out, in] of a linear map
	KindEmbedding             // [V, D] of the vocabulary: the embedding or the output head
	KindRouter                // [E, D] of a gate
	KindExperts               // [E, out, in]: a stack of matrices
	KindGain                  // [D] of a norm
	KindBias                  // [D] that is added
	KindSelection             // [E] added to a gate's scores to select: no gradient moves it
	KindJoin                  // [D, 2D] of multi-token prediction, from an embedding and a hidden state
	KindAdapter               // a factor of a LowRank, no part of the model's own checkpoint
	KindScore                 // [n, D] of a head beside that of the vocabulary, such as the values of a critic
)

func (k Kind) String() string {
	switch k {
	case KindOther:
		return "other"
	case KindMatrix:
		return "matrix"
	case KindEmbedding:
		return "embedding"
	case KindRouter:
		return "router"
	case KindExperts:
		return "experts"
	case KindGain:
		return "gain"
	case KindBias:
		return "bias"
	case KindSelection:
		return "selection"
	case KindJoin:
		return "join"
	case KindAdapter:
		return "adapter"
	case KindScore:
		return "score"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}
