package cpu_test

import (
	"os"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cpu"
)

// supported lists every op: other backends fall back to this one.
var supported = []string{
	"Copy", "Fill", "Iota",
	"Affine", "Clamp", "Exp", "Log", "Sigmoid", "Sqrt", "Reciprocal", "Abs", "Sign", "Tanh", "Erf", "Log1p",
	"Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessEqual", "Equal", "Select",
	"Sum", "SumSquares", "ReduceMax", "Softmax", "TopK",
	"Gather", "Scatter", "ScatterAdd", "GatherLast", "ScatterLast", "Random",
	"MatMul", "GroupedMatMul", "GroupedOuter", "Unpack",
	"RMSNorm", "RMSNormGrad", "SwiGLU", "SwiGLUGrad", "RoPE", "MLAKeys", "MLAKeysGrad",
	"Attention", "AttentionGrad",
	"LogSumExp", "LinearLogProb", "LinearLogProbGrad", "Sample",
	"MoEGate", "MoEWeights", "MoEGateGrad", "MoERoute", "MoEDispatch", "MoECombine", "MoECombineGrad",
	"SequenceBalance", "SequenceBalanceGrad",
	"AdamW",
}

func TestConformance(t *testing.T) {
	b := backendtest.Open(t, "cpu")
	// Read AHA_CPU in the test too: go test does not notice reads before main
	// and would return the cached result of another kernel path.
	t.Logf("AHA_CPU=%q, path %s", os.Getenv("AHA_CPU"), backend.Path(b))
	backendtest.Run(t, b, supported)
}

func FuzzConformance(f *testing.F) {
	backendtest.Fuzz(f, backendtest.Open(f, "cpu"))
}

func BenchmarkOps(b *testing.B) {
	backendtest.Bench(b, backendtest.Open(b, "cpu"))
}
