package cublaslt

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/aha-go/aha/backend/cuda/internal/driver"
)

// MatmulDescCreate creates the descriptor of a product whose factors alpha and
// beta have type scale.
func (l *BLAS) MatmulDescCreate(compute ComputeType, scale DataType) (Desc, error) {
	d, err := l.create(cublasLtMatmulDescCreate, "", uintptr(compute), uintptr(scale))
	return Desc(d), err
}

// MatmulDescDestroy destroys the descriptor.
func (l *BLAS) MatmulDescDestroy(d Desc) error {
	return l.destroy(cublasLtMatmulDescDestroy, uintptr(d))
}

// MatmulDescSetAttribute sets TransA or TransB.
func (l *BLAS) MatmulDescSetAttribute(d Desc, a DescAttribute, v Operation) error {
	return l.set(cublasLtMatmulDescSetAttribute, uintptr(d), int32(a), uint64(v), 4)
}

// MatrixLayoutCreate creates the descriptor of a column-major matrix whose
// columns start ld elements apart.
func (l *BLAS) MatrixLayoutCreate(t DataType, rows, cols, ld int) (Layout, error) {
	m, err := l.create(cublasLtMatrixLayoutCreate, fmt.Sprintf("%d rows, %d columns, %d apart", rows, cols, ld),
		uintptr(t), uintptr(rows), uintptr(cols), uintptr(ld))
	return Layout(m), err
}

// MatrixLayoutDestroy destroys the descriptor.
func (l *BLAS) MatrixLayoutDestroy(m Layout) error {
	return l.destroy(cublasLtMatrixLayoutDestroy, uintptr(m))
}

// MatrixLayoutSetAttribute sets BatchCount, or BatchStride in elements.
func (l *BLAS) MatrixLayoutSetAttribute(m Layout, a LayoutAttribute, v int) error {
	size := 4 // int32_t
	if a == BatchStride {
		size = 8 // int64_t
	}
	return l.set(cublasLtMatrixLayoutSetAttribute, uintptr(m), int32(a), uint64(v), size)
}

// MatmulPreferenceCreate creates a descriptor that allows all algorithms that
// need no workspace.
func (l *BLAS) MatmulPreferenceCreate() (Preference, error) {
	p, err := l.create(cublasLtMatmulPreferenceCreate, "")
	return Preference(p), err
}

// MatmulPreferenceDestroy destroys the descriptor.
func (l *BLAS) MatmulPreferenceDestroy(p Preference) error {
	return l.destroy(cublasLtMatmulPreferenceDestroy, uintptr(p))
}

// MatmulPreferenceSetAttribute sets a limit on the algorithms.
func (l *BLAS) MatmulPreferenceSetAttribute(p Preference, a PreferenceAttribute, v int) error {
	size := 4 // uint32_t
	if a == MaxWorkspaceBytes {
		size = 8 // uint64_t
	}
	return l.set(cublasLtMatmulPreferenceSetAttribute, uintptr(p), int32(a), uint64(v), size)
}

// Algo is a cublasLtMatmulAlgo_t: an algorithm with its configuration.
type Algo [8]uint64

// HeuristicResult is a cublasLtMatmulHeuristicResult_t.
type HeuristicResult struct {
	Algo          Algo
	WorkspaceSize uint64 // bytes
	State         Status // the other fields are valid if it is 0
	WavesCount    float32
	_             [4]int32
}

// MatmulAlgoGetHeuristic returns at most n algorithms for D = alpha·op(A)·op(B)
// + beta·C, sorted by the library's estimate of their speed, fastest first.
func (l *BLAS) MatmulAlgoGetHeuristic(
	h Handle, d Desc, la, lb, lc, ld Layout, p Preference, n int,
) ([]HeuristicResult, error) {
	b := l.block()
	defer l.done(b)
	list := make([]HeuristicResult, n)
	s := l.do(b, cublasLtMatmulAlgoGetHeuristic, uintptr(h), uintptr(d), uintptr(la), uintptr(lb), uintptr(lc),
		uintptr(ld), uintptr(p), uintptr(n), uintptr(unsafe.Pointer(&list[0])), b.out())
	runtime.KeepAlive(list)
	if s != success {
		return nil, l.failure(cublasLtMatmulAlgoGetHeuristic, s, "")
	}
	return list[:int32(b.value)], nil
}

// Matrix is an operand of Matmul in device memory.
type Matrix struct {
	At     driver.Ptr
	Layout Layout
}

// Matmul queues C = alpha·op(A)·op(B) + beta·C on s with an algorithm that
// MatmulAlgoGetHeuristic returned. If beta is 0, C is not read. The workspace
// must have the algorithm's WorkspaceSize and be aligned to 256 bytes.
func (l *BLAS) Matmul(
	h Handle, d Desc, alpha float32, ma, mb Matrix, beta float32, mc Matrix, algo *Algo,
	workspace driver.Ptr, bytes int, s driver.Stream,
) error {
	b := l.block()
	b.alpha, b.beta, b.algo = alpha, beta, *algo
	status := l.do(b, cublasLtMatmul, uintptr(h), uintptr(d), uintptr(unsafe.Pointer(&b.alpha)),
		uintptr(ma.At), uintptr(ma.Layout), uintptr(mb.At), uintptr(mb.Layout), uintptr(unsafe.Pointer(&b.beta)),
		uintptr(mc.At), uintptr(mc.Layout), uintptr(mc.At), uintptr(mc.Layout), uintptr(unsafe.Pointer(&b.algo)),
		uintptr(workspace), uintptr(bytes), uintptr(s))
	l.done(b)
	if status != success {
		return l.failure(cublasLtMatmul, status, "")
	}
	return nil
}
