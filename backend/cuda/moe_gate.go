package cuda

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// maxExperts is the maximum number of experts of a gate, since a block's shared
// memory holds the scores of all experts.
const maxExperts = 1024

func (b *CUDA) moeGate(o *backend.MoEGate) error {
	n, experts := o.Logits.Shape[0], o.Logits.Shape[1]
	if experts > maxExperts {
		return backend.Unsupported(b, o, fmt.Sprintf("%d experts, more than %d", experts, maxExperts))
	}
	return b.kernel("moe_gate", "moeGate"+suffix(o.Logits.DType)).
		views(&o.Weight, &o.Index, &o.Scores, &o.Logits, &o.Bias).
		flag(o.Scoring == backend.ScoreSoftmax).flag(o.GroupBy == backend.GroupTop2Sum).int(o.Groups).int(o.TopGroups).
		flag(o.Normalize).double(o.Scale).double(backend.GateEps).rows(n, warpsPerBlock*experts)
}

func (b *CUDA) moeGateGrad(o *backend.MoEGateGrad) error {
	dweight := o.DWeight
	if o.ConstantWeights() {
		dweight = backend.View{}
	}
	return b.kernel("moe_gate", "moeGateGrad"+suffix(o.DLogits.DType)).
		views(&o.DLogits, &dweight, &o.DScores, &o.Scores, &o.Index).
		flag(o.Scoring == backend.ScoreSoftmax).flag(o.Normalize).double(o.Scale).double(backend.GateEps).
		index().rows(o.Scores.Shape[0], warpsPerBlock*o.Scores.Shape[1])
}
