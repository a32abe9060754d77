package cuda

import (
	"errors"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
	"github.com/aha-go/aha/backend/cuda/internal/nvrtc"
)

// NVIDIA's compiler needs no device.
func TestEveryKernelCompilesWithoutWarnings(t *testing.T) {
	c, err := nvrtc.Open()
	var missing *dynlib.OpenError
	if errors.As(err, &missing) {
		t.Skip("no libnvrtc on this machine (the Python package nvidia-cuda-nvrtc has it)")
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, err := sources.ReadDir("kernels")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		file, ok := strings.CutSuffix(e.Name(), ".cu")
		if !ok {
			continue
		}
		source, headers, err := sourceOf(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"sm_80", "sm_90"} {
			_, log, err := c.Compile(e.Name(), source, headers, arch, options)
			if err != nil {
				t.Error(err)
			} else if log != "" {
				t.Errorf("%s, %s: the log says %s", e.Name(), arch, log)
			}
		}
	}
}
