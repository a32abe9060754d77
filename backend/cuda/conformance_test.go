package cuda_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/backend/cuda/internal/emu"
)

// supported lists what the backend has. What is missing is decomposed, or returns
// errors.ErrUnsupported.
var supported = []string{
	"Copy", "Fill", "Iota", "Affine", "Clamp", "Exp", "Log", "Sigmoid", "Sqrt", "Reciprocal", "Abs",
	"Sign", "Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessEqual", "Equal", "Select", "Sum",
	"SumSquares", "ReduceMax", "Softmax", "Gather", "Scatter", "ScatterAdd", "GatherLast",
	"ScatterLast", "Random", "MatMul", "GroupedMatMul", "GroupedOuter", "Unpack", "LinearLogProb",
	"LinearLogProbGrad", "TopK", "MoERoute", "MoEDispatch", "MoECombine", "MoECombineGrad", "RMSNorm",
	"RMSNormGrad", "SwiGLU", "SwiGLUGrad", "RoPE", "MLAKeys", "MLAKeysGrad", "AdamW", "MoEGate",
	"MoEGateGrad", "SequenceBalance", "SequenceBalanceGrad", "LogSumExp", "Sample", "Attention",
	"AttentionGrad",
}

// emulated points the bindings at the emulator, which is built for this process, or
// skips the test.
func emulated(t testing.TB) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	library, err := emu.Build(filepath.Join(cache, "aha"))
	if errors.Is(err, emu.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AHA_CUDA_DRIVER", library)
	t.Setenv("AHA_NVRTC", library)
	t.Setenv("AHA_CUBLASLT", library)
}

func TestConformanceOnTheEmulator(t *testing.T) {
	emulated(t)
	b := backendtest.Open(t, "cuda:0")
	backendtest.Run(t, b, supported)
}
