package cuda

import (
	"cmp"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cuda/internal/nvrtc"
)

// maxRegisters is the register budget of a kernel whose source states none:
// with this many, two blocks of 256 threads fit into the 65,536 registers of a
// multiprocessor.
const maxRegisters = 128

var (
	budgetLine     = regexp.MustCompile(`(?m)^// Budget of (\w+): (\d+) registers`)
	ptxasEntry     = regexp.MustCompile(`(?m)Compiling entry function '(\w+)'`)
	ptxasRegisters = regexp.MustCompile(`Used (\d+) registers`)
	ptxasSpill     = regexp.MustCompile(`(\d+) bytes spill stores, (\d+) bytes spill loads`)
)

// Every kernel compiles with NVIDIA's own compiler, which needs no GPU, without
// register spills and within its register budget.
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
		budget := map[string]int{}
		for _, line := range budgetLine.FindAllStringSubmatch(source, -1) {
			budget[line[1]], _ = strconv.Atoi(line[2])
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
				} else if n, _ := strconv.Atoi(r[1]); n > cmp.Or(budget[name[:max(0, strings.LastIndex(name, "_"))]],
					maxRegisters) {
					t.Errorf("%s %s for %s: %d registers, more than its budget", e.Name(), name, arch, n)
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
