package driver

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend/cuda/internal/ctest"
)

func TestConstantsAreThoseOfTheHeader(t *testing.T) {
	if n := ctest.CheckConstants(t, "const.go", ctest.Header(t, "cuda.h")); n < 40 {
		t.Errorf("%d constants checked: some have lost their C name", n)
	}
}

// The tests with the stub show that each argument arrives where the stub's
// prototype has it. Here the C compiler compares those prototypes with the
// header's.
func TestPrototypesAreThoseOfTheHeader(t *testing.T) {
	openStub(t, "-DCUDA_H", "-I", ctest.Include(t))
}

func TestEntryPointsAreThoseOfTheHeader(t *testing.T) {
	header := ctest.Header(t, "cuda.h")
	for _, name := range callNames {
		plain, v2 := strings.CutSuffix(name, "_v2")
		if !regexp.MustCompile(`\bCUDAAPI ` + plain + `\(`).MatchString(header) {
			t.Errorf("the header declares no %s", plain)
		}
		renamed := regexp.MustCompile(`#define ` + plain + `\s+(?:__CUDA_API_PTSZ\()?` + plain + `_v2\b`).MatchString(header)
		// In all drivers, cuEventElapsedTime exists under its original name
		// too.
		if v2 != renamed && name != "cuEventElapsedTime" {
			t.Errorf("%s: the header renames it to _v2: %v", name, renamed)
		}
	}
}

func TestStickyCodesAreThoseOfTheHeader(t *testing.T) {
	results := regexp.MustCompile(`(?s)typedef enum cudaError_enum \{(.*?)\} CUresult`).
		FindStringSubmatch(ctest.Header(t, "cuda.h"))
	if results == nil {
		t.Fatal("no CUresult in the header")
	}
	// The header does not say what follows these two.
	expected := map[Result]bool{eccUncorrectable: true, nvlinkUncorrectable: true}
	documented := regexp.MustCompile(`(?s)/\*\*(.*?)\*/\s*CUDA_\w+\s*=\s*(\d+)`)
	for _, m := range documented.FindAllStringSubmatch(results[1], -1) {
		text := strings.Join(strings.Fields(strings.ReplaceAll(m[1], "*", " ")), " ")
		code, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "must be terminated and relaunched") ||
			strings.Contains(text, "context cannot be used anymore, and must be destroyed") {
			expected[Result(code)] = true
		}
	}
	if len(expected) < 10 {
		t.Fatalf("only %d sticky codes found in the header", len(expected))
	}
	for r := range Result(1000) {
		if r.Sticky() != expected[r] {
			t.Errorf("code %d: Sticky is %v, the header says %v", uint32(r), r.Sticky(), expected[r])
		}
	}
}
