package cuda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cuda"
)

func works(t *testing.T) {
	t.Helper()
	if sum, err := work(); err != nil || sum != 2000 {
		t.Fatalf("sum %v, error %v", sum, err)
	}
}

func TestDamagedFilesOfTheCacheAreCompiledAgain(t *testing.T) {
	emulated(t)
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	works(t)
	files, err := filepath.Glob(filepath.Join(dir, "aha", "cuda", "elementwise-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, error %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, damaged := range map[string][]byte{
		"no bytes":               nil,
		"an ELF header":          data[:100],
		"all but the last bytes": data[:len(data)-1000],
		"zeros":                  make([]byte, len(data)),
	} {
		if err := os.WriteFile(files[0], damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		works(t)
		if again, err := os.ReadFile(files[0]); err != nil || len(again) != len(data) {
			t.Errorf("%s became %d bytes, want %d; error %v", what, len(again), len(data), err)
		}
	}
}

func TestKernelsCompileWithoutACache(t *testing.T) {
	emulated(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", file) // no folder can be created there
	works(t)
}

func TestProcessesShareACacheThatIsEmpty(t *testing.T) {
	const child = "AHA_TEST_CHILD"
	if os.Getenv(child) != "" { // the child process uses the parent's emulator
		works(t)
		return
	}
	emulated(t)
	dir := t.TempDir()
	var processes []*exec.Cmd
	for range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1", "XDG_CACHE_HOME="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, cmd)
	}
	for _, p := range processes {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "aha", "cuda", "*"))
	if err != nil || len(names) == 0 || strings.Contains(strings.Join(names, " "), "new-") {
		t.Errorf("files %q, error %v", names, err)
	}
}

func TestVersionsThatDoNotFitAreNamed(t *testing.T) {
	emulated(t)
	for fail, want := range map[string]string{
		"nvrtcCompileProgram:1:5": "may be too old for the device",
		"cuModuleLoadData:1:222":  "is newer than the driver, which supports CUDA ",
	} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		t.Setenv("AHA_EMU_FAIL", fail)
		b, err := cuda.New(0, cuda.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		cuda.SetCompilerMajor(b, 99)
		x, err := b.Alloc(4)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Do(&backend.Fill{Dst: backend.NewView(x, backend.F32, 1)})
		if err == nil || !strings.Contains(err.Error(), "NVRTC 99.") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", fail, err, want)
		}
	}
}
