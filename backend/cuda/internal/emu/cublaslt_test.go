//go:build linux && amd64

package emu

import "testing"

// Status codes of cuBLASLt.
const (
	ltInvalidValue = 7
	ltNotSupported = 15
)

// square is a product C = A·B of 2×2 matrices by cuBLASLt, with operands
// aligned to 16 bytes.
type square struct {
	*emulator
	handle, desc, layout uintptr
	algo                 [96]byte // a cublasLtMatmulHeuristicResult_t starts with it
}

func newSquare(e *emulator) *square {
	s := &square{emulator: e}
	var preference uintptr
	var n int32
	workspace, reductions, alignment := uint64(0), uint32(0), uint32(16)
	e.must("cublasLtCreate", &s.handle)
	e.must("cublasLtMatmulDescCreate", &s.desc, 68, 0)
	e.must("cublasLtMatrixLayoutCreate", &s.layout, 0, 2, 2, 2)
	e.must("cublasLtMatmulPreferenceCreate", &preference)
	e.must("cublasLtMatmulPreferenceSetAttribute", preference, 1, &workspace, 8)
	e.must("cublasLtMatmulPreferenceSetAttribute", preference, 3, &reductions, 4)
	for _, attribute := range []int{5, 6, 7, 8} {
		e.must("cublasLtMatmulPreferenceSetAttribute", preference, attribute, &alignment, 4)
	}
	e.want(ltInvalidValue, "cublasLtMatmulPreferenceSetAttribute", preference, 3, &workspace, 8)
	e.must("cublasLtMatmulAlgoGetHeuristic", s.handle, s.desc, s.layout, s.layout, s.layout, s.layout, preference, 1,
		&s.algo[0], &n)
	if n != 1 {
		e.Fatalf("%d algorithms", n)
	}
	e.must("cublasLtMatmulPreferenceDestroy", preference)
	e.want(ltInvalidValue, "cublasLtMatmulPreferenceDestroy", preference)
	return s
}

// try queues C = A·B and returns the status code.
func (s *square) try(c, a, b uintptr) int {
	one, zero := float32(1), float32(0)
	return s.call("cublasLtMatmul", s.handle, s.desc, &one, a, s.layout, b, s.layout, &zero, c, s.layout, c, s.layout,
		&s.algo[0], 0, 0, s.stream)
}

func TestCuBLASLtMultipliesColumnMajorMatricesLate(t *testing.T) {
	e := open(t)
	s := newSquare(e)
	a, b, c := upload(e, []float32{1, 2, 3, 4}), upload(e, []float32{5, 6, 7, 8}), e.alloc(16)
	if code := s.try(c, a, b); code != success {
		t.Fatal(code)
	}
	e.must("cuStreamSynchronize", e.stream)
	if got := [4]float32(download[float32](e, c, 4)); got != [4]float32{23, 34, 31, 46} {
		t.Errorf("got %v", got)
	}
	if code := s.try(c, a+4, b); code != ltNotSupported {
		t.Errorf("a misaligned operand: code %d", code)
	}
}

func TestCuBLASLtOnFreedMemoryIsSticky(t *testing.T) {
	e := open(t)
	s := newSquare(e)
	a, b, c := upload(e, []float32{1, 2, 3, 4}), upload(e, []float32{5, 6, 7, 8}), e.alloc(16)
	if code := s.try(c, a, b); code != success {
		t.Fatal(code)
	}
	e.must("cuMemFree_v2", b)
	e.want(illegalAddress, "cuStreamSynchronize", e.stream)
	e.want(illegalAddress, "cuCtxSynchronize")
}

func TestCheckModeSeesWhatCuBLASLtReads(t *testing.T) {
	e := open(t, "AHA_EMU_CHECK=1")
	s := newSquare(e)
	a, b, c := upload(e, []float32{1, 2, 3, 4}), e.alloc(16), e.alloc(16)
	if code := s.try(c, a, b); code != success {
		t.Fatal(code)
	}
	e.want(illegalAddress, "cuStreamSynchronize", e.stream) // b is uninitialised
}
