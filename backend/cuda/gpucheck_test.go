package cuda_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/backendtest"
)

// examples/gpucheck finds the emulated device like a real one.
func TestGPUCheckOnTheEmulator(t *testing.T) {
	emulated(t)
	program := filepath.Join(t.TempDir(), "gpucheck")
	if out, err := exec.Command("go", "build", "-o", program, "../../examples/gpucheck").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := exec.Command(program, "-device", "cuda:0", "-quick", "-json", "-op", "RMSNorm,Gather")
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	var got []string
	for text := range strings.Lines(string(out)) {
		var x struct {
			Line, Device, Op, DType string
			Error, Seconds          float64
		}
		if err := json.Unmarshal([]byte(text), &x); err != nil || x.Error > 1 || x.Line == "time" && !(x.Seconds > 0) {
			t.Errorf("error %v: %s", err, text)
		}
		got = append(got, strings.TrimSpace(x.Line+" "+x.Device+x.Op+" "+x.DType))
	}
	want := []string{"device cuda:0", "check RMSNorm F32", "time RMSNorm F32", "check RMSNorm F64", "check RMSNorm BF16",
		"check Gather F32", "time Gather F32", "check Gather F64"}
	if !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
}

// The peer's results are matched with those of gpucheck by the name of the
// case.
func TestThePeerHasCasesOfOurs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "torch_peer.py"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range backendtest.BenchCases() {
		names = append(names, c.Name())
	}
	joined := regexp.MustCompile(`"\s+"`).ReplaceAll(text, nil)
	cases := regexp.MustCompile(`"(\w+/\w+/dense/[^"]*)"`).FindAllStringSubmatch(string(joined), -1)
	if len(cases) < 20 {
		t.Errorf("%d cases found in torch_peer.py, want more: does the pattern still match?", len(cases))
	}
	for _, c := range cases {
		for _, dt := range []string{"F32", "BF16"} {
			if name := strings.Replace(c[1], "/DTYPE/", "/"+dt+"/", 1); !slices.Contains(names, name) {
				t.Errorf("torch_peer.py has %s, gpucheck has not", name)
			}
		}
	}
}
