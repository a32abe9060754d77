package nvrtc

import (
	"bytes"
	"debug/elf"
	"errors"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// openReal opens NVIDIA's library. If it is missing, openReal skips the test.
func openReal(t *testing.T) *Compiler {
	t.Helper()
	c, err := Open()
	var missing *dynlib.OpenError
	if errors.As(err, &missing) {
		t.Skip("SKIP: no libnvrtc on this machine (the Python package nvidia-cuda-nvrtc has it)")
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const axpy = `
#include "own.cuh"
extern "C" __global__ void axpy(float* y, const float* x, float a, long long n) {
	long long i = index();
	if (i < n) y[i] += a * x[i];
}`

var own = map[string]string{
	"own.cuh": "static __device__ long long index() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }",
}

func TestARealKernelCompilesForEachArchitecture(t *testing.T) {
	c := openReal(t)
	t.Logf("%s, version %d.%d", c.Path, c.Major, c.Minor)
	for _, arch := range []string{"sm_80", "sm_90", "sm_100"} {
		cubin, log, err := c.Compile("axpy.cu", axpy, own, arch, []string{"--std=c++17"})
		if err != nil {
			t.Error(err)
			continue
		}
		if log != "" {
			t.Errorf("%s: the log says %s", arch, log)
		}
		f, err := elf.NewFile(bytes.NewReader(cubin))
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		const emCUDA = 190
		if f.Machine != emCUDA || f.Section(".text.axpy") == nil {
			t.Errorf("%s: machine %d, sections %v", arch, f.Machine, f.Sections)
		}
	}
}

func TestTheRealLogNamesFileAndLine(t *testing.T) {
	c := openReal(t)
	_, _, err := c.Compile("axpy.cu", strings.Replace(axpy, "a * x[i]", "a * z[i]", 1), own, "sm_90", nil)
	if !errors.Is(err, Compilation) || !strings.Contains(err.Error(), `axpy.cu(5): error: identifier "z" is undefined`) {
		t.Errorf("got %v", err)
	}
	_, _, err = c.Compile("axpy.cu", axpy, own, "sm_90", []string{"--no-such-option"})
	if !errors.Is(err, InvalidOption) || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("got %v", err)
	}
}
