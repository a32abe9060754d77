package cuda

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cuda/internal/nvrtc"
)

// maxRegisters is the budget of a kernel's registers: with as many, 256 threads of a
// block fit twice into a multiprocessor's 65,536.
const maxRegisters = 128

var (
	ptxasEntry     = regexp.MustCompile(`(?m)Compiling entry function '(\w+)'`)
	ptxasRegisters = regexp.MustCompile(`Used (\d+) registers`)
	ptxasSpill     = regexp.MustCompile(`(\d+) bytes spill stores, (\d+) bytes spill loads`)
)

// Every kernel compiles with NVIDIA's own compiler, which needs no GPU, without
// spills and within the budget of registers.
func TestKernelsCompileForRealDevices(t *testing.T) {
	if os.Getenv("AHA_NVRTC") == "" {
		t.Skip("AHA_NVRTC is not set to NVIDIA's compiler (Python package nvidia-cuda-nvrtc)")
	}
	c, err := nvrtc.Open()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := sources.ReadDir("kernels")
	if err != nil {
		t.Fatal(err)
	}
	kernels := 0
	for _, e := range entries {
		file, ok := strings.CutSuffix(e.Name(), ".cu")
		if !ok {
			continue
		}
		source, headers, err := sourceOf(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []string{"sm_80", "sm_90", "sm_100"} {
			_, log, err := c.Compile(e.Name(), source, headers, arch, append([]string{"--ptxas-options=-v"}, options...))
			if err != nil {
				t.Error(err)
				continue
			}
			names := ptxasEntry.FindAllStringSubmatchIndex(log, -1)
			for i, at := range names {
				end := len(log)
				if i+1 < len(names) {
					end = names[i+1][0]
				}
				name, part := log[at[2]:at[3]], log[at[0]:end]
				kernels++
				if r := ptxasRegisters.FindStringSubmatch(part); r == nil {
					t.Errorf("%s %s for %s: no count of registers in %q", e.Name(), name, arch, part)
				} else if n, _ := strconv.Atoi(r[1]); n > maxRegisters {
					t.Errorf("%s %s for %s: %d registers, the budget is %d", e.Name(), name, arch, n, maxRegisters)
				}
				if s := ptxasSpill.FindStringSubmatch(part); s != nil && (s[1] != "0" || s[2] != "0") {
					t.Errorf("%s %s for %s: %s", e.Name(), name, arch, s[0])
				}
			}
		}
	}
	if kernels == 0 {
		t.Error("no kernel was found in the compiler's log")
	}
	t.Logf("%d kernels", kernels)
}
