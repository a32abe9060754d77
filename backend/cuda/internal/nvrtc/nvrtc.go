// Package nvrtc binds NVRTC, NVIDIA's run-time compiler for CUDA C++, which it
// loads at run time. It needs neither a GPU nor a driver.
package nvrtc

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// Compiler is the NVRTC library. Its methods may be called by several
// goroutines at once.
type Compiler struct {
	Path         string // the library's file
	Major, Minor int    // version of NVRTC and of the CUDA toolkit that it belongs to

	fn []uintptr
}

// Entry points, and their names in the library.
const (
	version = iota
	getErrorString
	createProgram
	destroyProgram
	compileProgram
	getProgramLogSize
	getProgramLog
	getCUBINSize
	getCUBIN
)

var callNames = []string{
	version:           "nvrtcVersion",
	getErrorString:    "nvrtcGetErrorString",
	createProgram:     "nvrtcCreateProgram",
	destroyProgram:    "nvrtcDestroyProgram",
	compileProgram:    "nvrtcCompileProgram",
	getProgramLogSize: "nvrtcGetProgramLogSize",
	getProgramLog:     "nvrtcGetProgramLog",
	getCUBINSize:      "nvrtcGetCUBINSize",
	getCUBIN:          "nvrtcGetCUBIN",
}

// Result is an nvrtcResult, the result of a call of NVRTC. errors.Is finds it
// in errors. The trailing comments are the names in nvrtc.h; a test compares
// the values with it.
type Result uint32

const (
	success       Result = 0 // NVRTC_SUCCESS
	InvalidOption Result = 5 // NVRTC_ERROR_INVALID_OPTION
	Compilation   Result = 6 // NVRTC_ERROR_COMPILATION
)

func (r Result) Error() string { return fmt.Sprintf("NVRTC error %d", uint32(r)) }

// Error is a failed call of NVRTC.
type Error struct {
	Call    string // the entry point, such as nvrtcCompileProgram
	Code    Result
	Name    string // such as NVRTC_ERROR_COMPILATION
	Program string // name and architecture of the program; may be empty
	Log     string // the compiler's messages; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Program != "" {
		fmt.Fprintf(&b, "%s: ", e.Program)
	}
	fmt.Fprintf(&b, "%s: %s (%d)", e.Call, e.Name, uint32(e.Code))
	if log := strings.TrimSpace(e.Log); log != "" {
		fmt.Fprintf(&b, ":\n%s", log)
	}
	return b.String()
}

// Unwrap returns the Result.
func (e *Error) Unwrap() error { return e.Code }

func spec() dynlib.Spec {
	s := dynlib.Spec{
		Title:    "libnvrtc, NVIDIA's run-time compiler",
		Override: "AHA_NVRTC",
		Names:    []string{"libnvrtc.so.13", "libnvrtc.so.12"},
		Places:   dynlib.ToolkitPlaces("cuda_nvrtc"),
		Install: "install the CUDA toolkit 12 or 13, or the Python package nvidia-cuda-nvrtc in the active\n" +
			"virtual environment, or set AHA_NVRTC to the library's path",
	}
	if runtime.GOOS == "windows" {
		s.Names = []string{"nvrtc64_13*_0.dll", "nvrtc64_12*_0.dll"}
		s.Beside = "nvrtc-builtins64_*.dll" // NVRTC itself does not search its own folder
	}
	return s
}

// Open loads NVRTC.
func Open() (*Compiler, error) {
	lib, err := dynlib.Open(spec())
	if err != nil {
		return nil, err
	}
	fn, err := lib.Bind(callNames)
	if err != nil {
		return nil, err
	}
	c := &Compiler{Path: lib.Path, fn: fn}
	v := new([2]int32)
	if r := c.call(version, uintptr(unsafe.Pointer(&v[0])), uintptr(unsafe.Pointer(&v[1]))); r != success {
		return nil, c.failure(version, r)
	}
	c.Major, c.Minor = int(v[0]), int(v[1])
	return c, nil
}

// call calls an entry point. Memory to which an argument of the form
// uintptr(unsafe.Pointer(p)) points does not move during the call.
//
//go:uintptrescapes
func (c *Compiler) call(fn int, args ...uintptr) Result {
	return Result(dynlib.Call(c.fn[fn], args...))
}

// failure returns the error of a call that returned r.
func (c *Compiler) failure(fn int, r Result) *Error {
	return &Error{Call: callNames[fn], Code: r, Name: c.errorString(r)}
}

// errorString returns the name of r, a static C string in the library.
func (c *Compiler) errorString(r Result) string {
	addr := dynlib.Call(c.fn[getErrorString], uintptr(r))
	return dynlib.GoString(addr)
}
