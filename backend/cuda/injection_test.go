package cuda_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
)

// work opens the device, uploads, computes in all kinds of memory and downloads
// from a second queue.
func work() (sum float64, err error) {
	b, err := backend.Open("cuda:0")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	x, err := b.Alloc(4 * 1000)
	if err != nil {
		return 0, err
	}
	defer b.Free(x)
	y, err := b.Alloc(4)
	if err != nil {
		return 0, err
	}
	defer b.Free(y)
	v := backend.NewView(x, backend.F32, 1000)
	for _, step := range []func() error{
		func() error { return b.Upload(x, 0, make([]byte, 4*1000)) },
		func() error { return b.Do(&backend.Fill{Dst: v, Value: 2}) },
		func() error {
			return b.Do(&backend.Reduce{Y: backend.NewView(y, backend.F32), X: v, Fn: backend.Sum})
		},
		b.Sync,
		func() error { return b.Do(&backend.Fill{Dst: v, Value: 3}) },
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	q, err := backend.NewQueue(b)
	if err != nil {
		return 0, err
	}
	e, err := backend.NewEvent(b)
	if err != nil {
		return 0, err
	}
	defer e.Free()
	if err := backend.Wait(q, e); err != nil {
		return 0, err
	}
	// Memory that both queues have used is freed and allocated again.
	z, err := q.Alloc(4 * 2000)
	if err != nil {
		return 0, err
	}
	op := &backend.Fill{Dst: backend.NewView(z, backend.F32, 2000)}
	err = errors.Join(q.Do(op), q.Sync(), b.Do(op))
	b.Free(z)
	if err != nil {
		return 0, err
	}
	if z, err = q.Alloc(4 * 2000); err != nil {
		return 0, err
	}
	q.Free(z)
	if _, err := e.Done(); err != nil {
		return 0, err
	}
	if err := e.Sync(); err != nil {
		return 0, err
	}
	values, err := backend.Values(q, backend.NewView(y, backend.F32))
	if err != nil {
		return 0, err
	}
	return values[0], q.Sync()
}

// spared are the entry points whose failure is not an error of the backend,
// with the reason.
var spared = map[string]string{
	"cuGetErrorName":      "an unknown error is called so",
	"cuGetErrorString":    "an unknown error is called so",
	"nvrtcGetErrorString": "an unknown error is called so",
	"cuMemGetInfo_v2":     "MemInfo gives zeros",

	"cuDeviceGetName":      "not called",
	"cuDeviceTotalMem_v2":  "not called",
	"cuCtxSynchronize":     "not called",
	"cuMemcpyDtoDAsync_v2": "not called",
	"cuStreamQuery":        "not called",
	"cuEventElapsedTime":   "not called",
	"cuFuncGetAttribute":   "not called",
	"cuFuncSetAttribute":   "not called",
}

// entryPoints returns the names in the table callNames of a binding's Go file.
func entryPoints(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "callNames" {
			return true
		}
		ast.Inspect(spec, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name, _ := strconv.Unquote(lit.Value)
				names = append(names, name)
			}
			return true
		})
		return false
	})
	if len(names) == 0 {
		t.Fatalf("%s has no callNames", file)
	}
	return names
}

// calls returns the entry points of the driver and of NVRTC that are bound and
// not spared.
func calls(t *testing.T) []string {
	t.Helper()
	all := slices.Concat(entryPoints(t, "internal/driver/call.go"), entryPoints(t, "internal/nvrtc/nvrtc.go"))
	return slices.DeleteFunc(all, func(call string) bool { return spared[call] != "" })
}

// asynchronous reports whether a call may return the error of work queued
// before.
func asynchronous(call string) bool {
	return strings.Contains(call, "Stream") || strings.Contains(call, "Event") || strings.Contains(call, "Launch")
}

func TestEveryCallThatFailsIsAnError(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	// Test sticky errors first: they end with the context, which stays open
	// after releasing it has been made to fail.
	for _, code := range []string{":700", ""} {
		for _, call := range calls(t) {
			compiler := strings.HasPrefix(call, "nvrtc")
			if code != "" && !asynchronous(call) {
				continue
			}
			most := 3 // number of calls of the entry point to fail, one per run
			if compiler {
				most = 1
			}
			for n := 1; n <= most; n++ {
				if compiler {
					t.Setenv("XDG_CACHE_HOME", t.TempDir()) // an empty cache, so that kernels are compiled again
				}
				t.Setenv("AHA_EMU_FAIL", fmt.Sprintf("%s:%d%s", call, n, code))
				sum, err := work()
				switch {
				case err != nil && !strings.Contains(err.Error(), strings.TrimSuffix(call, "_v2")):
					t.Errorf("call %d of %s%s fails: error %v", n, call, code, err)
				case err == nil && sum != 2000:
					t.Errorf("call %d of %s%s fails: no error, sum %v", n, call, code, sum)
				case err == nil && n == 1:
					t.Errorf("%s%s fails: no error; if the backend does not call it, add it to spared", call, code)
				}
			}
			t.Setenv("AHA_EMU_FAIL", "")
			if compiler {
				continue
			}
			if sum, err := work(); err != nil || sum != 2000 {
				t.Fatalf("after %s%s: sum %v, error %v", call, code, sum, err)
			}
		}
	}
}

// session trains the tiny model for one step and generates tokens.
func session() (tokens []int32, err error) {
	b, err := backend.Open("cuda:0")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	m, err := model.NewWith(b, tiny(), 3, model.Options{})
	if err != nil {
		return nil, err
	}
	defer m.Free()
	tr := &train.Trainer{Model: m, Optimizer: train.AdamW{LR: 1e-3}, Log: slog.New(slog.DiscardHandler)}
	defer tr.Close()
	if _, err := tr.Step(context.Background(), []model.Sequence{{IDs: []int32{3, 1, 4, 1, 5}}}); err != nil {
		return nil, err
	}
	g, err := model.NewGenerator(m, model.GeneratorOptions{Slots: 2, MaxLen: 16})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	out, err := g.Generate(context.Background(), []model.Request{
		{Prompt: []int32{3, 1}, MaxTokens: 8, Stop: []int32{}, Sampling: model.Sampling{Greedy: true}},
	})
	if err != nil {
		return nil, err
	}
	return out[0].Tokens, nil
}

// A failure at any point of training and generation gives an error, and a
// backend that is opened afterwards works.
func TestAFailureWithinTrainingOrGenerationIsAnError(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	want, err := session()
	if err != nil {
		t.Fatal(err)
	}
	for call, often := range map[string]int{ // roughly the number of calls in a session
		"cuLaunchKernel": 500, "cuMemAlloc_v2": 200, "cuMemcpyHtoDAsync_v2": 100, "cuMemcpyDtoHAsync_v2": 8,
		"cuStreamSynchronize": 8, "cuCtxSetCurrent": 500, "cuModuleLoadData": 10, "cuModuleGetFunction": 20,
	} {
		failures := 0
		for _, n := range []int{1 + rng.IntN(often), 1 + rng.IntN(often), 1 + rng.IntN(often)} {
			code := ""
			if asynchronous(call) && rng.IntN(2) == 0 {
				code = ":700"
			}
			t.Setenv("AHA_EMU_FAIL", fmt.Sprintf("%s:%d%s", call, n, code))
			got, err := session()
			if err != nil {
				failures++
				if !strings.Contains(err.Error(), strings.TrimSuffix(call, "_v2")) {
					t.Errorf("call %d of %s%s fails: error %v", n, call, code, err)
				}
			} else if !slices.Equal(got, want) {
				t.Errorf("call %d of %s%s fails: no error, tokens %v, want %v", n, call, code, got, want)
			}
		}
		if failures == 0 {
			t.Errorf("%s: no call of it failed", call)
		}
		t.Setenv("AHA_EMU_FAIL", "")
		if got, err := session(); err != nil || !slices.Equal(got, want) {
			t.Fatalf("after %s: tokens %v, want %v, error %v", call, got, want, err)
		}
	}
	for call, why := range spared {
		t.Setenv("AHA_EMU_FAIL", call+":1")
		if got, err := session(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s fails and is in spared (%s): tokens %v, want %v, error %v", call, why, got, want, err)
		}
	}
}
