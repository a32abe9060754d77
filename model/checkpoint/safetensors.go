package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode"
	"unicode/utf8"
)

// DType is the element type of a stored tensor, in the spelling of safetensors. All types
// are little-endian.
type DType string

// The supported element types.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16" // the upper half of an F32
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL"    // one byte, 0 or 1
	F8E4M3 DType = "F8_E4M3" // no infinities, largest 448
	F8E5M2 DType = "F8_E5M2"
	F8E8M0 DType = "F8_E8M0" // an unsigned power of two: 2^(code−127); 255 is NaN
)

// Size returns the number of bytes of one element, or 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case I8, U8, Bool, F8E4M3, F8E5M2, F8E8M0:
		return 1
	}
	return 0
}

// IsFloat reports whether d is a floating-point type whose values can be read.
func (d DType) IsFloat() bool {
	dt, ok := deviceDTypes[d]
	return ok && dt.IsFloat()
}

// TensorInfo describes a stored tensor and its location.
type TensorInfo struct {
	Name       string
	DType      DType
	Shape      []int  // outermost first, C order; empty for a scalar
	File       string // the file that holds it
	Begin, End int64  // offsets of its bytes from the end of the file's header
}

// Bytes returns the size of the tensor's data.
func (t TensorInfo) Bytes() int64 { return t.End - t.Begin }

// Limits on what a file may declare.
const (
	maxHeader = 100_000_000 // bytes of a header or an index, as in the reference reader
	maxName   = 4096        // bytes of a tensor name
	maxRank   = 64          // dimensions of a tensor
)

// These are the faults of a safetensors file or index; each [FormatError] wraps one.
var (
	ErrTruncated = errors.New("file is truncated")
	ErrHeader    = errors.New("bad header")
	ErrIndex     = errors.New("bad index")
	ErrName      = errors.New("bad tensor name")
	ErrDuplicate = errors.New("name appears more than once")
	ErrDType     = errors.New("unknown dtype")
	ErrShape     = errors.New("bad shape")
	ErrOffsets   = errors.New("bad data_offsets")
	ErrLink      = errors.New("symbolic link out of the folder")
)

// FormatError is a fault in the content of a file.
type FormatError struct {
	File   string // path that was opened
	Tensor string // "" if the fault does not belong to one tensor
	Err    error  // wraps one of the errors above
}

// Error names the file, the tensor and the fault.
func (e *FormatError) Error() string {
	if e.Tensor == "" {
		return fmt.Sprintf("checkpoint: %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("checkpoint: %s: tensor %.200q: %v", e.File, e.Tensor, e.Err)
}

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// checkName rejects reserved names, and names that would corrupt a log.
func checkName(name string) error {
	switch {
	case name == "" || name == metadataKey:
		return fmt.Errorf("%w: %q is reserved", ErrName, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: %d bytes, more than %d", ErrName, len(name), maxName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not UTF-8", ErrName)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: control character %U", ErrName, r)
		}
	}
	return nil
}

// dataBytes returns the size of a tensor in bytes. An overflow is an error.
func dataBytes(d DType, shape []int) (int64, error) {
	size := d.Size()
	if size == 0 {
		return 0, fmt.Errorf("%w %.40q", ErrDType, string(d))
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("%w: %d dimensions, more than %d", ErrShape, len(shape), maxRank)
	}
	n, empty := uint64(size), false
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("%w %v: negative dimension", ErrShape, shape)
		}
		if dim == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("%w %v: overflows 63 bits", ErrShape, shape)
		}
		n = lo
	}
	if empty {
		return 0, nil
	}
	return int64(n), nil
}
