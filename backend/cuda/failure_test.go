package cuda_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// work opens the device, uploads, computes on all kinds of memory and downloads by way
// of a second queue.
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
	// What both queues worked on is freed and allocated again.
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

// calls are the entry points of the driver that the backend uses.
var calls = []string{
	"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute",
	"cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2", "cuCtxSetCurrent", "cuCtxGetCurrent",
	"cuMemAlloc_v2", "cuMemFree_v2", "cuMemHostAlloc", "cuMemFreeHost",
	"cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemsetD8Async",
	"cuStreamCreate", "cuStreamDestroy_v2", "cuStreamSynchronize", "cuStreamWaitEvent",
	"cuEventCreate", "cuEventDestroy_v2", "cuEventRecord", "cuEventQuery", "cuEventSynchronize",
	"cuModuleLoadData", "cuModuleUnload", "cuModuleGetFunction", "cuLaunchKernel",
	"nvrtcCreateProgram", "nvrtcCompileProgram", "nvrtcGetCUBINSize", "nvrtcGetCUBIN",
}

// inChild runs the test in a process of its own and reports true there: a context that
// could not be released keeps its sticky error.
func inChild(t *testing.T) bool {
	t.Helper()
	const child = "AHA_TEST_CHILD"
	if os.Getenv(child) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func TestEveryCallThatFailsIsAnError(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	// Sticky errors come first: they end with the context, which a failing release
	// leaves behind.
	for _, code := range []string{":700", ""} {
		for _, call := range calls {
			if code != "" && (strings.HasPrefix(call, "nvrtc") || !strings.Contains(call, "Stream") &&
				!strings.Contains(call, "Event") && !strings.Contains(call, "Launch")) {
				continue
			}
			failed := false
			for n := 1; n <= 3; n++ { // the first calls of the entry point
				if strings.HasPrefix(call, "nvrtc") {
					t.Setenv("XDG_CACHE_HOME", t.TempDir()) // compile again
				}
				t.Setenv("AHA_EMU_FAIL", fmt.Sprintf("%s:%d%s", call, n, code))
				sum, err := work()
				switch {
				case err != nil:
					failed = true
					if !strings.Contains(err.Error(), strings.TrimSuffix(call, "_v2")) {
						t.Errorf("call %d of %s%s fails: error %v", n, call, code, err)
					}
				case sum != 2000:
					t.Errorf("call %d of %s%s fails: no error, sum %v", n, call, code, sum)
				}
			}
			if !failed {
				t.Errorf("%s%s: no call of it was made", call, code)
			}
			t.Setenv("AHA_EMU_FAIL", "")
			if sum, err := work(); err != nil || sum != 2000 {
				t.Fatalf("after %s%s: sum %v, error %v", call, code, sum, err)
			}
		}
	}
}

func TestAFailedDeviceAnswersNothingElse(t *testing.T) {
	emulated(t)
	if !inChild(t) {
		return
	}
	t.Setenv("AHA_EMU_FAIL", "cuStreamSynchronize:1:700")
	b, err := backend.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	q, err := backend.NewQueue(b)
	if err != nil {
		t.Fatal(err)
	}
	e, err := backend.NewEvent(q)
	if err != nil {
		t.Fatal(err)
	}
	x, err := b.Alloc(400)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 100)}); err != nil {
		t.Fatal(err)
	}
	err = b.Sync()
	if err == nil || !strings.Contains(err.Error(), "fill<<<") {
		t.Fatalf("error %v, want the launches before", err)
	}
	for name, call := range map[string]func() error{
		"Do":       func() error { return b.Do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 100)}) },
		"Download": func() error { return b.Download(make([]byte, 4), x, 0) },
		"Upload":   func() error { return b.Upload(x, 0, make([]byte, 4)) },
		"Alloc":    func() error { _, err := b.Alloc(4); return err },
		"Sync":     b.Sync,
		"NewQueue": func() error { _, err := backend.NewQueue(b); return err },
		"NewEvent": func() error { _, err := backend.NewEvent(b); return err },
		"Event":    e.Sync,
		"Do of another queue": func() error {
			return q.Do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 100)})
		},
		"Sync of another queue": q.Sync,
	} {
		if again := call(); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: error %v", name, again)
		}
	}
}

func TestOutOfMemoryNamesTheHolders(t *testing.T) {
	emulated(t)
	t.Setenv("AHA_EMU_MEMORY", "8000000")
	b, err := backend.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var held []backend.Buffer
	for range 10 {
		buf, err := backend.AllocFor(b, backend.KVCache, 1<<20)
		if err != nil {
			if !strings.Contains(err.Error(), "1048576 bytes for KV cache; held are [KV cache ") {
				t.Errorf("error %v", err)
			}
			break
		}
		held = append(held, buf)
	}
	if len(held) < 3 || len(held) == 10 {
		t.Fatalf("%d buffers of a MiB in 8 MB", len(held))
	}
	for _, buf := range held {
		b.Free(buf)
	}
	big, err := b.Alloc(4 << 20) // of what the freed blocks give back
	if err != nil {
		t.Fatal(err)
	}
	b.Free(big)
}

func TestWorkInALoopHoldsNoMoreMemory(t *testing.T) {
	emulated(t)
	b, err := backend.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, first := b.MemInfo()
	for i := range 300 {
		x, err := b.Alloc(4 * (1 + i%7*1000))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 1+i%7*1000)}); err != nil {
			t.Fatal(err)
		}
		b.Free(x)
	}
	if err := b.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, last := b.MemInfo(); last != first {
		t.Errorf("%d bytes free, at first %d", last, first)
	}
}

func TestAnIndexOutOfRangeIsAnErrorOfSync(t *testing.T) {
	emulated(t)
	b, err := backend.Open("cuda:0")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var bufs [3]backend.Buffer
	for i := range bufs {
		if bufs[i], err = b.Alloc(64); err != nil {
			t.Fatal(err)
		}
		if err := b.Do(&backend.Fill{Dst: backend.NewView(bufs[i], backend.I32, 16), Value: 7}); err != nil {
			t.Fatal(err)
		}
	}
	op := &backend.Gather{
		Y: backend.NewView(bufs[0], backend.F32, 2, 4), X: backend.NewView(bufs[1], backend.F32, 4, 4),
		Index: backend.NewView(bufs[2], backend.I32, 2),
	}
	if err := b.Do(op); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(); err == nil || !strings.Contains(err.Error(), "index 7, which is out of range") {
		t.Errorf("error %v", err)
	}
	if err := b.Sync(); err != nil {
		t.Errorf("the next Sync: %v", err)
	}
}

func TestOpenWithoutCUDANamesEveryPlace(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "libcuda.so")
	t.Setenv("AHA_CUDA_DRIVER", missing)
	t.Setenv("AHA_NVRTC", "")
	os.Unsetenv("AHA_NVRTC")
	t.Setenv("VIRTUAL_ENV", "")
	_, err := backend.Open("cuda:0")
	if err == nil {
		t.Fatal("opened")
	}
	for _, want := range []string{missing, "AHA_CUDA_DRIVER", "libcuda"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
	for device, want := range map[string]string{"cuda:x": `device "x"`, "cuda:-1": `device "-1"`} {
		if _, err := backend.Open(device); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", device, err)
		}
	}
}
