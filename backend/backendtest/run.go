package backendtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
)

// Open opens the named backend for a test and closes it when the test ends. If it cannot
// be opened, the test is skipped, or fails if AHA_REQUIRE_BACKEND is the name of the
// backend or of its driver.
func Open(t testing.TB, name string) backend.Backend {
	t.Helper()
	b, err := backend.Open(name)
	if err != nil {
		driver, _, _ := strings.Cut(name, ":")
		if required := os.Getenv("AHA_REQUIRE_BACKEND"); required == name || required == driver {
			t.Fatalf("AHA_REQUIRE_BACKEND=%s: %v", required, err)
		}
		t.Skipf("%v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// maxFailures is the number of failing cases that are printed for one op.
const maxFailures = 5

// Run is the conformance test of b. It runs every case and 300 random ones (60 with
// -short), on b's own kernels and by decomposition, in one subtest for each op; it also
// runs Queues.
//
// supported lists what b has, as prefixes of the names of cases: "RMSNorm",
// "RMSNorm/F32", "RMSNorm/F32/dense". A case with such a prefix fails if it is
// unsupported, so that no op is lost unnoticed. An op that works but has no entry fails
// too, so that the list stays complete. If b is a backend.Supporter, its answers must
// agree with the cases.
func Run(t *testing.T, b backend.Backend, supported []string) {
	cases, seeds := Cases(), uint64(300)
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		cases = append(cases, RandomCase(seed))
	}
	byOp := map[string][]Case{}
	var ops []string
	for _, c := range cases {
		if byOp[c.Op] == nil {
			ops = append(ops, c.Op)
		}
		byOp[c.Op] = append(byOp[c.Op], c)
	}
	for _, entry := range supported {
		if op, _, _ := strings.Cut(entry, "/"); byOp[op] == nil {
			t.Errorf("supported lists %q, which has no cases", entry)
		}
	}
	t.Run("Queues", func(t *testing.T) { Queues(t, b) })
	for _, op := range ops {
		t.Run(op, func(t *testing.T) {
			for _, problem := range checkOp(b, op, byOp[op], supported) {
				t.Error(problem)
			}
		})
		t.Run(op+"/decomposed", func(t *testing.T) {
			failures := 0
			for _, c := range byOp[op] {
				if r := CheckDecomposed(b, c); r.Skipped == "a core op" {
					t.Skip(r.Skipped)
				} else if !r.OK() {
					if failures++; failures <= maxFailures {
						t.Error(r)
					}
				}
			}
		})
	}
}

// checkOp runs the cases of one op and lists the problems.
func checkOp(b backend.Backend, op string, cases []Case, supported []string) []string {
	var problems []string
	failures, works := 0, false
	worksIn := map[backend.DType]bool{}
	report := func(format string, args ...any) {
		if failures++; failures <= maxFailures {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	for _, c := range cases {
		r := Check(b, c)
		switch {
		case !r.OK():
			report("%s", r)
		case r.Unsupported && listed(c.Name(), supported):
			report("%s: listed as supported, but %s lacks it", c, b.Name())
		case !r.Unsupported && r.Skipped == "":
			works, worksIn[c.DType] = true, true
		}
	}
	if _, tells := b.(backend.Supporter); tells {
		for _, dt := range []backend.DType{backend.F32, backend.F64, backend.BF16} {
			tried := slices.ContainsFunc(cases, func(c Case) bool { return c.DType == dt })
			if says := backend.Supports(b, op, dt); tried && says != worksIn[dt] {
				report("Supports(%q, %s) is %t on %s, but its cases say %t", op, dt, says, b.Name(), worksIn[dt])
			}
		}
	}
	if works && !slices.ContainsFunc(supported, func(entry string) bool {
		return entry == op ||
			strings.HasPrefix(entry, op+"/")
	}) {
		report("%s works on %s but is not listed as supported", op, b.Name())
	}
	if failures > maxFailures {
		problems = append(problems, fmt.Sprintf("%d of %d cases of %s failed", failures, len(cases), op))
	}
	return problems
}

// listed reports whether an entry of supported is a prefix of the path name.
func listed(name string, supported []string) bool {
	return slices.ContainsFunc(supported, func(entry string) bool { return strings.HasPrefix(name+"/", entry+"/") })
}

// Fuzz checks random cases on b, on its kernels and by decomposition.
func Fuzz(f *testing.F, b backend.Backend) {
	for seed := range uint64(16) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		c := RandomCase(seed)
		for _, r := range []Result{Check(b, c), CheckDecomposed(b, c)} {
			if !r.OK() {
				t.Error(r)
			}
		}
	})
}
