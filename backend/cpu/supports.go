package cpu

import (
	"slices"

	"github.com/aha-go/aha/backend"
)

// activationOps take activations in F32, F64 and BF16.
var activationOps = []string{
	"Affine", "Clamp", "Exp", "Log", "Sigmoid", "Sqrt", "Reciprocal", "Abs", "Sign", "Tanh", "Erf", "Log1p",
	"Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessEqual", "Equal", "Select",
	"Copy", "Fill", "Sum", "SumSquares", "ReduceMax", "Softmax", "TopK", "Gather", "Scatter", "ScatterAdd",
	"MatMul", "GroupedMatMul", "GroupedOuter", "Pack", "Unpack",
	"RMSNorm", "RMSNormGrad", "SwiGLU", "SwiGLUGrad", "RoPE", "MLAKeys", "MLAKeysGrad", "Attention", "AttentionGrad",
	"LogSumExp", "LinearLogProb", "LinearLogProbGrad", "Sample",
	"MoEGate", "MoEGateGrad", "MoEDispatch", "MoECombine", "MoECombineGrad",
}

// scoreOps take scores, parameters or indices, in F32 and F64.
var scoreOps = []string{
	"Iota", "GatherLast", "ScatterLast", "Random", "MoEWeights", "MoERoute",
	"SequenceBalance", "SequenceBalanceGrad", "AdamW",
}

// storageOps also take the dtypes that are only for storage: E4M3, E5M2 and
// F16.
var storageOps = []string{"Copy", "Fill", "Gather", "Scatter"}

// Supports implements backend.Supporter.
func (b *CPU) Supports(op string, dt backend.DType) bool {
	switch dt {
	case backend.F32, backend.F64:
		return slices.Contains(activationOps, op) || slices.Contains(scoreOps, op)
	case backend.BF16:
		return slices.Contains(activationOps, op)
	case backend.E4M3, backend.E5M2, backend.F16:
		return slices.Contains(storageOps, op)
	}
	return false
}
