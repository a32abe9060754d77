package tensor

import "fmt"

// Kind is the role of a parameter in its model. Optimizers, adapters and checkpoints
// decide by Kind, never by name.
type Kind uint8

const (
	KindOther     Kind = iota // made by NewParam, such as an optimizer's moments
	KindMatrix                // [out, in]: the weight of a linear map
	KindEmbedding             // [V, D]: the embedding or the output head
	KindRouter                // [E, D]: the weight of a gate
	KindExperts               // [E, out, in]: a stack of the experts' matrices
	KindGain                  // [D]: the weight of a norm
	KindBias                  // [D]: the bias of a linear map
	KindSelection             // [E]: added to a gate's scores to select experts; has no gradient
	KindJoin                  // [D, 2D]: joins an embedding and a hidden state in multi-token prediction
	KindAdapter               // a factor of a LowRank; not in the model's own checkpoint
	KindScore                 // [n, D]: an additional head, such as the value head of a critic
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
