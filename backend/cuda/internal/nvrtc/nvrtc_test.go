package nvrtc

import (
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/ctest"
	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// stub is a compiler whose library is testdata/stub.c.
type stub struct {
	*Compiler
	fail, alive uintptr
}

func openStub(t *testing.T, flags ...string) *stub {
	t.Helper()
	t.Setenv("AHA_NVRTC", ctest.Build(t, "testdata/stub.c", flags...))
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	lib, err := dynlib.Open(spec())
	if err != nil {
		t.Fatal(err)
	}
	fn, err := lib.Bind([]string{"stubFail", "stubAlive"})
	if err != nil {
		t.Fatal(err)
	}
	return &stub{c, fn[0], fn[1]}
}

// failing makes an entry point fail until the next call of failing.
func (s *stub) failing(call string) {
	name := append([]byte(call), 0)
	dynlib.Call(s.fail, uintptr(unsafe.Pointer(&name[0])))
}

// programs returns the number of programs that were not destroyed.
func (s *stub) programs() int {
	n := new(int32)
	dynlib.Call(s.alive, uintptr(unsafe.Pointer(n)))
	return int(*n)
}

func TestCompilePassesSourceHeadersAndOptions(t *testing.T) {
	s := openStub(t)
	if s.Major != 12 || s.Minor != 9 {
		t.Errorf("version %d.%d", s.Major, s.Minor)
	}
	headers := map[string]string{"types.cuh": "struct bf16;", "ptx.cuh": "int mma();"}
	cubin, log, err := s.Compile("rope.cu", "the source", headers, "sm_90", []string{"--fmad=false", "-DX=1"})
	if err != nil {
		t.Fatal(err)
	}
	want := "rope.cu: the source\nheader ptx.cuh: int mma();\nheader types.cuh: struct bf16;\n" +
		"option --gpu-architecture=sm_90\noption --fmad=false\noption -DX=1\n"
	if string(cubin) != want {
		t.Errorf("NVRTC saw\n%s\nwant\n%s", cubin, want)
	}
	if log != "line 1: this is the log\n" {
		t.Errorf("log %q", log)
	}
	if _, _, err := s.Compile("empty.cu", "", nil, "sm_80", nil); err != nil {
		t.Errorf("without headers and options: %v", err)
	}
	if n := s.programs(); n != 0 {
		t.Errorf("%d programs left", n)
	}
}

func TestACompilationErrorCarriesTheLog(t *testing.T) {
	s := openStub(t)
	cubin, log, err := s.Compile("rope.cu", "broken", nil, "sm_90", nil)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, Compilation) || e.Log != log || cubin != nil {
		t.Fatalf("got %v", err)
	}
	want := "rope.cu for sm_90: nvrtcCompileProgram: NAME_6 (6):\nline 1: this is the log"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	s.failing("nvrtcGetProgramLogSize")
	if _, _, err := s.Compile("rope.cu", "broken", nil, "sm_90", nil); !errors.Is(err, Compilation) {
		t.Errorf("without a log: %v", err)
	}
	if n := s.programs(); n != 0 {
		t.Errorf("%d programs left", n)
	}
}

func TestEveryFailingCallIsAnErrorThatNamesIt(t *testing.T) {
	s := openStub(t)
	for i, call := range callNames {
		if i == getErrorString { // cannot fail
			continue
		}
		s.failing(call)
		var err error
		if i == version {
			_, err = Open()
		} else {
			_, _, err = s.Compile("rope.cu", "fine", nil, "sm_90", nil)
		}
		var e *Error
		if !errors.As(err, &e) || e.Call != call || e.Code != 11 || e.Name != "NAME_11" {
			t.Errorf("%s failed and gave %v", call, err)
		}
		if n := s.programs(); n != 0 {
			t.Fatalf("%d programs left after %s failed", n, call)
		}
	}
}

func TestALibraryThatIsNotNVRTCIsRefused(t *testing.T) {
	path := ctest.Build(t, "testdata/stub.c", "-DnvrtcGetCUBIN=other")
	t.Setenv("AHA_NVRTC", path)
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), path+" lacks nvrtcGetCUBIN:") {
		t.Errorf("got %v", err)
	}
}

func TestConstantsAndPrototypesAreThoseOfTheHeader(t *testing.T) {
	if n := ctest.CheckConstants(t, "nvrtc.go", ctest.Header(t, "nvrtc.h")); n != 3 {
		t.Errorf("%d constants checked: some have lost their C name", n)
	}
	openStub(t, "-DNVRTC_H", "-I", ctest.Include(t))
}
