// Package cublaslt binds the part of cuBLASLt, NVIDIA's library of matrix products,
// that computes a product with a chosen algorithm. It loads the library at run time.
// Its methods have the names of the C functions without "cublasLt". Matrices are
// column-major.
//
// BLAS.Matmul allocates no memory: its arguments are in pooled blocks.
package cublaslt

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// Handles of cuBLASLt.
type (
	Handle     uintptr // the library in one context
	Desc       uintptr // what a product computes
	Layout     uintptr // layout of a matrix in memory
	Preference uintptr // limits on the algorithms
)

// BLAS is cuBLASLt. Its methods may be called by several goroutines at once.
// Create, MatmulAlgoGetHeuristic and Matmul need a current context.
type BLAS struct {
	Path    string // the library's file
	Version int    // 10,000·major + 100·minor + patch

	fn     []uintptr
	blocks sync.Pool // of *block
}

// call is an entry point of the library.
type call uint8

const (
	cublasLtGetVersion call = iota
	cublasLtGetStatusName
	cublasLtGetStatusString
	cublasLtCreate
	cublasLtDestroy
	cublasLtMatmulDescCreate
	cublasLtMatmulDescDestroy
	cublasLtMatmulDescSetAttribute
	cublasLtMatrixLayoutCreate
	cublasLtMatrixLayoutDestroy
	cublasLtMatrixLayoutSetAttribute
	cublasLtMatmulPreferenceCreate
	cublasLtMatmulPreferenceDestroy
	cublasLtMatmulPreferenceSetAttribute
	cublasLtMatmulAlgoGetHeuristic
	cublasLtMatmul
)

var callNames = []string{
	cublasLtGetVersion:                   "cublasLtGetVersion",
	cublasLtGetStatusName:                "cublasLtGetStatusName",
	cublasLtGetStatusString:              "cublasLtGetStatusString",
	cublasLtCreate:                       "cublasLtCreate",
	cublasLtDestroy:                      "cublasLtDestroy",
	cublasLtMatmulDescCreate:             "cublasLtMatmulDescCreate",
	cublasLtMatmulDescDestroy:            "cublasLtMatmulDescDestroy",
	cublasLtMatmulDescSetAttribute:       "cublasLtMatmulDescSetAttribute",
	cublasLtMatrixLayoutCreate:           "cublasLtMatrixLayoutCreate",
	cublasLtMatrixLayoutDestroy:          "cublasLtMatrixLayoutDestroy",
	cublasLtMatrixLayoutSetAttribute:     "cublasLtMatrixLayoutSetAttribute",
	cublasLtMatmulPreferenceCreate:       "cublasLtMatmulPreferenceCreate",
	cublasLtMatmulPreferenceDestroy:      "cublasLtMatmulPreferenceDestroy",
	cublasLtMatmulPreferenceSetAttribute: "cublasLtMatmulPreferenceSetAttribute",
	cublasLtMatmulAlgoGetHeuristic:       "cublasLtMatmulAlgoGetHeuristic",
	cublasLtMatmul:                       "cublasLtMatmul",
}

func spec() dynlib.Spec {
	s := dynlib.Spec{
		Title:    "libcublasLt, NVIDIA's library of matrix products",
		Override: "AHA_CUBLASLT",
		Names:    []string{"libcublasLt.so.13", "libcublasLt.so.12"},
		Places:   dynlib.ToolkitPlaces("cublas"),
		Install: "install the CUDA toolkit 12 or 13, or the Python package nvidia-cublas in the active virtual\n" +
			"environment, or set AHA_CUBLASLT to the library's path",
	}
	if runtime.GOOS == "windows" {
		s.Names = []string{"cublasLt64_13.dll", "cublasLt64_12.dll"}
	}
	return s
}

// Open loads cuBLASLt. It needs neither a GPU nor a driver.
func Open() (*BLAS, error) {
	lib, err := dynlib.Open(spec())
	if err != nil {
		return nil, err
	}
	fn, err := lib.Bind(callNames)
	if err != nil {
		return nil, err
	}
	l := &BLAS{Path: lib.Path, fn: fn}
	l.blocks.New = func() any { return new(block) }
	l.Version = int(dynlib.Call(fn[cublasLtGetVersion]))
	return l, nil
}

// VersionString returns Version as text, such as "13.1.0".
func (l *BLAS) VersionString() string {
	return fmt.Sprintf("%d.%d.%d", l.Version/10000, l.Version/100%100, l.Version%100)
}

// block is the memory of one call: its arguments and what they point to. It is
// on the heap, where it does not move while C has addresses in it.
type block struct {
	args        [16]uintptr
	value       uint64 // an attribute, or what the call writes
	alpha, beta float32
	algo        Algo
}

func (l *BLAS) block() *block { return l.blocks.Get().(*block) }

func (l *BLAS) done(b *block) {
	*b = block{}
	l.blocks.Put(b)
}

// out returns the address of value.
func (b *block) out() uintptr { return uintptr(unsafe.Pointer(&b.value)) }

// do calls c and returns its Status.
func (l *BLAS) do(b *block, c call, args ...uintptr) Status {
	n := copy(b.args[:], args)
	s := dynlib.Call(l.fn[c], b.args[:n]...)
	runtime.KeepAlive(b)
	return Status(s)
}

// create calls c, whose first argument is the address of a handle to write.
func (l *BLAS) create(c call, detail string, args ...uintptr) (uintptr, error) {
	b := l.block()
	defer l.done(b)
	if s := l.do(b, c, append([]uintptr{b.out()}, args...)...); s != success {
		return 0, l.failure(c, s, detail)
	}
	return uintptr(b.value), nil
}

// destroy calls c, whose only argument is a handle.
func (l *BLAS) destroy(c call, handle uintptr) error {
	b := l.block()
	defer l.done(b)
	if s := l.do(b, c, handle); s != success {
		return l.failure(c, s, "")
	}
	return nil
}

// set calls c, which sets an attribute of size bytes.
func (l *BLAS) set(c call, handle uintptr, attribute int32, value uint64, size int) error {
	b := l.block()
	defer l.done(b)
	b.value = value // all machines with this library are little-endian
	if s := l.do(b, c, handle, uintptr(attribute), b.out(), uintptr(size)); s != success {
		return l.failure(c, s, fmt.Sprintf("attribute %d = %d", attribute, value))
	}
	return nil
}

// Create creates a handle for the current context.
func (l *BLAS) Create() (Handle, error) {
	h, err := l.create(cublasLtCreate, "")
	return Handle(h), err
}

// Destroy destroys the handle. It may wait for the device.
func (l *BLAS) Destroy(h Handle) error { return l.destroy(cublasLtDestroy, uintptr(h)) }
