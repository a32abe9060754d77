package cublaslt

import (
	"fmt"
	"strings"

	"github.com/aha-go/aha/backend/cuda/internal/dynlib"
)

// Error is a failed call of cuBLASLt. errors.Is(err, s) is true for its Status
// s.
type Error struct {
	Call    string // the entry point, such as cublasLtMatmul
	Code    Status
	Name    string // such as CUBLAS_STATUS_NOT_SUPPORTED
	Message string // the library's description
	Detail  string // what was requested; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Call)
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	fmt.Fprintf(&b, ": %s (%d): %s", e.Name, uint32(e.Code), e.Message)
	return b.String()
}

// Unwrap returns the Status.
func (e *Error) Unwrap() error { return e.Code }

func (s Status) Error() string { return fmt.Sprintf("cuBLAS error %d", uint32(s)) }

// failure returns the error of a call that returned s.
func (l *BLAS) failure(c call, s Status, detail string) error {
	return &Error{
		Call: callNames[c], Code: s, Detail: detail,
		Name: l.text(cublasLtGetStatusName, s), Message: l.text(cublasLtGetStatusString, s),
	}
}

// text returns the library's name or description of s, a static C string.
func (l *BLAS) text(c call, s Status) string {
	return dynlib.GoString(dynlib.Call(l.fn[c], uintptr(s)))
}
