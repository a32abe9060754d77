package cublaslt

import (
	"errors"
	"testing"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// openReal opens NVIDIA's library. If it is missing, openReal skips the test.
func openReal(t *testing.T) *BLAS {
	t.Helper()
	l, err := Open()
	var missing *dynlib.OpenError
	if errors.As(err, &missing) {
		t.Skip("SKIP: no libcublasLt on this machine (the Python package nvidia-cublas has it)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, version %s", l.Path, l.VersionString())
	return l
}

// Descriptors need no GPU. The library refuses a value whose size is not that
// of the attribute.
func TestTheRealLibraryTakesDescriptorsAndAttributes(t *testing.T) {
	l := openReal(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	d, err := l.MatmulDescCreate(Compute32F, F32)
	must(err)
	must(l.MatmulDescSetAttribute(d, TransA, T))
	must(l.MatmulDescSetAttribute(d, TransB, N))
	must(l.MatmulDescDestroy(d))
	for _, dt := range []DataType{F32, BF16} {
		m, err := l.MatrixLayoutCreate(dt, 64, 32, 64)
		must(err)
		must(l.MatrixLayoutSetAttribute(m, BatchCount, 3))
		must(l.MatrixLayoutSetAttribute(m, BatchStride, 1<<33))
		if err := l.MatrixLayoutSetAttribute(m, 999, 0); !errors.Is(err, InvalidValue) {
			t.Errorf("an unknown attribute: error %v", err)
		}
		must(l.MatrixLayoutDestroy(m))
	}
	p, err := l.MatmulPreferenceCreate()
	must(err)
	for a, v := range map[PreferenceAttribute]int{
		MaxWorkspaceBytes: 32 << 20, ReductionMask: ReductionNone,
		AlignmentA: 16, AlignmentB: 8, AlignmentC: 4, AlignmentD: 2,
	} {
		must(l.MatmulPreferenceSetAttribute(p, a, v))
	}
	must(l.MatmulPreferenceDestroy(p))
}

func TestTheRealLibraryNamesItsErrors(t *testing.T) {
	l := openReal(t)
	for s, want := range map[Status]string{
		NotInitialized: "CUBLAS_STATUS_NOT_INITIALIZED", InvalidValue: "CUBLAS_STATUS_INVALID_VALUE",
		NotSupported: "CUBLAS_STATUS_NOT_SUPPORTED",
	} {
		var e *Error
		if err := l.failure(cublasLtCreate, s, ""); !errors.As(err, &e) || e.Name != want || e.Message == "" {
			t.Errorf("status %d: error %v", uint32(s), err)
		}
	}
}
