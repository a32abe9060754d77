package cuda_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/aha-go/aha/backend/backendtest"
	_ "github.com/aha-go/aha/backend/cuda"
	"github.com/aha-go/aha/backend/cuda/internal/emu"
)

// supported lists the ops that the backend has. Other ops are decomposed, or
// return errors.ErrUnsupported.
var supported = []string{
	"Copy", "Fill", "Iota", "Affine", "Clamp", "Exp", "Log", "Sigmoid", "Sqrt", "Reciprocal", "Abs",
	"Sign", "Tanh", "Erf", "Log1p", "Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessEqual", "Equal", "Select",
	"Sum", "SumSquares", "ReduceMax", "Softmax", "Gather", "Scatter", "ScatterAdd", "GatherLast",
	"ScatterLast", "Random", "MatMul", "GroupedMatMul", "GroupedOuter", "Unpack", "LinearLogProb",
	"LinearLogProbGrad", "TopK", "MoERoute", "MoEDispatch", "MoECombine", "MoECombineGrad", "RMSNorm",
	"RMSNormGrad", "SwiGLU", "SwiGLUGrad", "RoPE", "MLAKeys", "MLAKeysGrad", "AdamW", "MoEGate",
	"MoEGateGrad", "SequenceBalance", "SequenceBalanceGrad", "LogSumExp", "Sample", "Attention",
	"AttentionGrad",
}

// emulated makes the bindings open the emulator, which it builds for this
// process. If that is not possible, it skips the test.
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

// The suite in other orders of blocks, threads and streams, and in check mode,
// which finds races, accesses out of bounds and reads of uninitialised memory,
// and takes about five times as long. Each mode is a process, so that they use
// all cores; check mode is two processes.
//
// To save half of the time it leaves out decompositions, whose ops have their
// own cases (each dense and strided in every dtype), and 240 of the random
// cases.
func TestConformanceOnTheEmulatorInOtherModes(t *testing.T) {
	if os.Getenv("AHA_TEST_LONG") == "" {
		t.Skip("minutes of work: set AHA_TEST_LONG, as .ci/run does")
	}
	emulated(t)
	const test, attention = "TestConformanceOnTheEmulator", "/^(Attention|AttentionGrad|MatMul)$"
	random := fmt.Sprintf("AHA_EMU_SCHEDULE=random:%d", rand.Uint64())
	var wg sync.WaitGroup
	const all, decompositions = "^" + test + "$", "//^decomposed$"
	for _, mode := range []struct{ env, run, skip string }{
		{"AHA_EMU_CHECK=1", all + attention, decompositions},
		{"AHA_EMU_CHECK=1", all, all + attention + "|" + decompositions},
		{"AHA_EMU_SCHEDULE=reverse", all, decompositions},
		{random, all, decompositions},
	} {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.short", "-test.run="+mode.run, "-test.skip="+mode.skip)
			cmd.Env = append(os.Environ(), mode.env)
			if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("no tests to run")) {
				t.Errorf("%s %s: %v\n%s", mode.env, cmd, err, out)
			}
		})
	}
	wg.Wait()
}
