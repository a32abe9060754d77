package cuda

import (
	"slices"

	"github.com/aha-go/aha/backend"
)

// The dtypes that kernels support. Each op's Check refuses the others.
var (
	computed   = []backend.DType{backend.F32, backend.F64}
	activation = append([]backend.DType{backend.BF16}, computed...)
	storage    = append([]backend.DType{backend.E4M3, backend.E5M2, backend.F16}, activation...)
)

// ops are the ops that Do supports, with the dtypes of their activations or, if
// an op has none, of its parameters or scores.
var ops = map[string][]backend.DType{
	"Copy": storage, "Fill": storage, "Gather": storage, "Scatter": storage,

	"Affine": activation, "Clamp": activation, "Exp": activation, "Log": activation, "Sigmoid": activation,
	"Sqrt": activation, "Reciprocal": activation, "Abs": activation, "Sign": activation,
	"Tanh": activation, "Erf": activation, "Log1p": activation,
	"Add": activation, "Sub": activation, "Mul": activation, "Div": activation, "Max": activation, "Min": activation,
	"Less": activation, "LessEqual": activation, "Equal": activation, "Select": activation,
	"Sum": activation, "SumSquares": activation, "ReduceMax": activation, "Softmax": activation, "TopK": activation,
	"ScatterAdd": activation, "MatMul": activation, "GroupedMatMul": activation, "GroupedOuter": activation,
	"Pack": activation, "Unpack": activation,
	"RMSNorm": activation, "RMSNormGrad": activation, "SwiGLU": activation, "SwiGLUGrad": activation,
	"RoPE": activation, "MLAKeys": activation, "MLAKeysGrad": activation,
	"Attention": activation, "AttentionGrad": activation,
	"LogSumExp": activation, "LinearLogProb": activation, "LinearLogProbGrad": activation, "Sample": activation,
	"MoEGate": activation, "MoEGateGrad": activation, "MoEDispatch": activation, "MoECombine": activation,
	"MoECombineGrad": activation,

	"Iota": computed, "GatherLast": computed, "ScatterLast": computed, "Random": computed,
	"MoERoute":        computed,
	"SequenceBalance": computed, "SequenceBalanceGrad": computed, "AdamW": computed,
}

// Supports implements backend.Supporter.
func (b *CUDA) Supports(op string, dt backend.DType) bool { return slices.Contains(ops[op], dt) }
