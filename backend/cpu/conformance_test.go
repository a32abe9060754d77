package cpu_test

import (
	"testing"

	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cpu"
)

// supported is the whole list: the cpu is the backend others fall back to.
var supported = []string{
	"Copy", "Fill", "Iota",
	"Affine", "Clamp", "Exp", "Log", "Sigmoid", "Sqrt", "Reciprocal", "Abs", "Sign",
	"Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessEqual", "Equal", "Select",
	"Sum", "SumSquares", "ReduceMax", "Softmax", "TopK",
	"Gather", "Scatter", "ScatterAdd", "GatherLast", "ScatterLast", "Random",
	"MatMul", "GroupedMatMul", "GroupedOuter",
	"RMSNorm", "RMSNormGrad", "SwiGLU", "SwiGLUGrad", "RoPE",
	"Attention", "AttentionGrad",
	"LogSumExp", "LinearLogProb", "LinearLogProbGrad", "Sample",
	"MoEGate", "MoEGateGrad", "MoERoute", "MoEDispatch", "MoECombine", "MoECombineGrad",
	"SequenceBalance", "SequenceBalanceGrad",
	"AdamW",
}

func TestConformance(t *testing.T) {
	backendtest.Run(t, backendtest.Open(t, "cpu"), supported)
}

func FuzzConformance(f *testing.F) {
	backendtest.Fuzz(f, backendtest.Open(f, "cpu"))
}

func BenchmarkOps(b *testing.B) {
	backendtest.Bench(b, backendtest.Open(b, "cpu"))
}
