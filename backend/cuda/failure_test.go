package cuda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// inChild runs the test in another process and returns true there, since a
// context that could not be released keeps its sticky error.
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
			if !strings.Contains(err.Error(), "1048576 bytes for KV cache; in use are [KV cache ") {
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
	big, err := b.Alloc(4 << 20) // memory of the freed blocks
	if err != nil {
		t.Fatal(err)
	}
	b.Free(big)
}

// Loading a kernel at its first launch takes device memory.
func TestAKernelThatFindsNoMemoryIsLoadedLater(t *testing.T) {
	emulated(t)
	for _, cached := range []bool{false, true} {
		t.Setenv("AHA_EMU_FAIL", "cuModuleLoadData:1:2")
		d := on(t, "cuda:0", 1)
		x, err := d.Alloc(4000)
		d.must(err)
		if cached { // the backend has freed blocks that it can return
			y, err := d.Alloc(8000)
			d.must(err)
			d.Free(y)
		}
		op := &backend.Fill{Dst: backend.NewView(x, backend.F32, 1000), Value: 1}
		if err := d.Do(op); (err == nil) != cached || err != nil && !strings.Contains(err.Error(), "OUT_OF_MEMORY") {
			t.Errorf("with free memory %t: error %v", cached, err)
		}
		d.do(op)
		d.must(d.Sync())
	}
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
	if err := b.Do(op); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "index 7, which is out of range") {
		t.Errorf("Close: error %v", err)
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
