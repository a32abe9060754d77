package cublaslt

import (
	"bytes"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/ctest"
	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// stub is a BLAS whose library is testdata/stub.c.
type stub struct {
	*BLAS
	fail, take uintptr
}

func openStub(t testing.TB, flags ...string) *stub {
	t.Helper()
	t.Setenv("AHA_CUBLASLT", ctest.Build(t, "testdata/stub.c", flags...))
	l, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	lib, err := dynlib.Open(spec())
	if err != nil {
		t.Fatal(err)
	}
	fn, err := lib.Bind([]string{"stubFail", "stubTake"})
	if err != nil {
		t.Fatal(err)
	}
	return &stub{l, fn[0], fn[1]}
}

// failing makes an entry point fail until the next call of failing.
func (s *stub) failing(call string) {
	name := append([]byte(call), 0)
	dynlib.Call(s.fail, uintptr(unsafe.Pointer(&name[0])))
}

// log returns the lines written since it was last read.
func (s *stub) log() string {
	buf := make([]byte, 1<<14)
	dynlib.Call(s.take, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	runtime.KeepAlive(buf)
	buf, _, _ = bytes.Cut(buf, []byte{0})
	return string(buf)
}

// step is a call of an entry point and the line that the stub logs for it.
type step struct {
	line string
	do   func() error
}

func (s *stub) steps() []step {
	algo := &Algo{7: 78}
	alone := func(_ any, err error) error { return err }
	return []step{
		{"cublasLtCreate -", func() error { return alone(s.Create()) }},
		{"cublasLtDestroy 5", func() error { return s.Destroy(5) }},
		{"cublasLtMatmulDescCreate 68 0", func() error { return alone(s.MatmulDescCreate(Compute32F, F32)) }},
		{"cublasLtMatmulDescDestroy 5", func() error { return s.MatmulDescDestroy(5) }},
		{"cublasLtMatmulDescSetAttribute 5 4 1 4", func() error { return s.MatmulDescSetAttribute(5, TransB, T) }},
		{"cublasLtMatrixLayoutCreate 14 3 4 8589934592", func() error {
			return alone(s.MatrixLayoutCreate(BF16, 3, 4, 1<<33))
		}},
		{"cublasLtMatrixLayoutDestroy 5", func() error { return s.MatrixLayoutDestroy(5) }},
		{"cublasLtMatrixLayoutSetAttribute 5 5 9 4", func() error {
			return s.MatrixLayoutSetAttribute(5, BatchCount, 9)
		}},
		{"cublasLtMatrixLayoutSetAttribute 5 6 8589934592 8", func() error {
			return s.MatrixLayoutSetAttribute(5, BatchStride, 1<<33)
		}},
		{"cublasLtMatmulPreferenceCreate -", func() error { return alone(s.MatmulPreferenceCreate()) }},
		{"cublasLtMatmulPreferenceDestroy 5", func() error { return s.MatmulPreferenceDestroy(5) }},
		{"cublasLtMatmulPreferenceSetAttribute 5 1 8589934592 8", func() error {
			return s.MatmulPreferenceSetAttribute(5, MaxWorkspaceBytes, 1<<33)
		}},
		{"cublasLtMatmulPreferenceSetAttribute 5 3 0 4", func() error {
			return s.MatmulPreferenceSetAttribute(5, ReductionMask, ReductionNone)
		}},
		{"cublasLtMatmulAlgoGetHeuristic 1 2 3 4 5 6 7 8", func() error {
			return alone(s.MatmulAlgoGetHeuristic(1, 2, 3, 4, 5, 6, 7, 8))
		}},
		{"cublasLtMatmul 1 2 0.5  3 4  5 6  0.25  7 8  7 8  78  9 10 11", func() error {
			return s.Matmul(1, 2, 0.5, Matrix{3, 4}, Matrix{5, 6}, 0.25, Matrix{7, 8}, algo, 9, 10, 11)
		}},
	}
}

func TestEachCallPassesItsArguments(t *testing.T) {
	s := openStub(t)
	if s.Version != 130207 || s.VersionString() != "13.2.7" {
		t.Errorf("version %d, %s", s.Version, s.VersionString())
	}
	called := map[string]bool{"cublasLtGetVersion": true, "cublasLtGetStatusName": true, "cublasLtGetStatusString": true}
	for _, step := range s.steps() {
		if err := step.do(); err != nil {
			t.Error(err)
		}
		if got := s.log(); got != step.line+"\n" {
			t.Errorf("the library saw %q, want %q", got, step.line)
		}
		name, _, _ := strings.Cut(step.line, " ")
		called[name] = true
	}
	for _, name := range callNames {
		if !called[name] {
			t.Errorf("%s is not called", name)
		}
	}
}

func TestHandlesAndResultsComeBack(t *testing.T) {
	s := openStub(t)
	h, err1 := s.Create()
	d, err2 := s.MatmulDescCreate(Compute32F, F32)
	m, err3 := s.MatrixLayoutCreate(F32, 1, 1, 1)
	p, err4 := s.MatmulPreferenceCreate()
	if err := errors.Join(err1, err2, err3, err4); err != nil || h != 11 || d != 12 || m != 13 || p != 14 {
		t.Errorf("handles %d, %d, %d, %d, error %v", h, d, m, p, err)
	}
	list, err := s.MatmulAlgoGetHeuristic(h, d, m, m, m, m, p, 4)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d results, error %v", len(list), err)
	}
	want := HeuristicResult{Algo: Algo{7: 77}, WorkspaceSize: 1024, WavesCount: 0.5}
	if list[0].State != NotSupported || list[1] != want {
		t.Errorf("results %v", list)
	}
}

func TestEveryFailingCallIsAnErrorThatNamesIt(t *testing.T) {
	s := openStub(t)
	for _, step := range s.steps() {
		name, _, _ := strings.Cut(step.line, " ")
		s.failing(name)
		var e *Error
		err := step.do()
		if !errors.As(err, &e) || e.Call != name || !errors.Is(err, Status(14)) {
			t.Errorf("%s fails: error %v", name, err)
			continue
		}
		// The stub reuses one buffer for its texts, so they must have been
		// copied.
		if e.Name != "name 14" || e.Message != "text 14" || !strings.Contains(err.Error(), "name 14 (14): text 14") {
			t.Errorf("%s fails: error %v", name, err)
		}
	}
}

func TestMatmulAllocatesNothing(t *testing.T) {
	s := openStub(t)
	algo := &Algo{}
	n := testing.AllocsPerRun(100, func() {
		if err := s.Matmul(1, 2, 1, Matrix{3, 4}, Matrix{5, 6}, 0, Matrix{7, 8}, algo, 9, 10, 11); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestALibraryThatIsNotCuBLASLtIsRefused(t *testing.T) {
	path := ctest.Build(t, "testdata/stub.c", "-DcublasLtMatmul=other")
	t.Setenv("AHA_CUBLASLT", path)
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), path+" lacks cublasLtMatmul:") {
		t.Errorf("got %v", err)
	}
}

// headers returns the texts of cublasLt.h and of the headers that declare the
// types of its arguments.
func headers(t *testing.T) string {
	t.Helper()
	return ctest.Header(t, "cublasLt.h") + ctest.Header(t, "cublas_api.h") + ctest.Header(t, "library_types.h")
}

func TestConstantsAreThoseOfTheHeader(t *testing.T) {
	if n := ctest.CheckConstants(t, "const.go", headers(t)); n != 20 {
		t.Errorf("%d constants checked: some have lost their C name", n)
	}
}

func TestEntryPointsAndStructsAreThoseOfTheHeader(t *testing.T) {
	header := ctest.Header(t, "cublasLt.h")
	for _, name := range callNames {
		if !regexp.MustCompile(`\bCUBLASWINAPI ` + name + `\(`).MatchString(header) {
			t.Errorf("the header declares no %s", name)
		}
	}
	var r HeuristicResult
	if unsafe.Sizeof(r) != 96 || unsafe.Offsetof(r.WorkspaceSize) != 64 || unsafe.Offsetof(r.State) != 72 ||
		unsafe.Offsetof(r.WavesCount) != 76 {
		t.Errorf("HeuristicResult has %d bytes", unsafe.Sizeof(r))
	}
	openStub(t, "-DCUBLASLT_H", "-I", ctest.Include(t)) // compares the numbers and all prototypes
}
