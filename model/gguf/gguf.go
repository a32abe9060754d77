package gguf

import (
	"errors"
	"fmt"
)

// These are the faults of a file; each [FormatError] wraps one.
var (
	ErrMagic     = errors.New("not a GGUF file")
	ErrVersion   = errors.New("unsupported version")
	ErrTruncated = errors.New("file is truncated")
	ErrHeader    = errors.New("bad header")
	ErrName      = errors.New("bad name")
	ErrDuplicate = errors.New("name appears more than once")
	ErrValue     = errors.New("bad value")
	ErrType      = errors.New("unsupported tensor type")
	ErrShape     = errors.New("bad shape")
	ErrOffset    = errors.New("bad offset")
	ErrMissing   = errors.New("missing")
)

// FormatError is a fault in the content of a file.
type FormatError struct {
	File   string // path that was opened
	Key    string // key of the metadata; "" if the fault does not belong to a key
	Tensor string // "" if the fault does not belong to one tensor
	Err    error  // wraps one of the errors above
}

// Error names the file, the key or tensor, and the fault.
func (e *FormatError) Error() string {
	switch {
	case e.Tensor != "":
		return fmt.Sprintf("gguf: %s: tensor %.200q: %v", e.File, e.Tensor, e.Err)
	case e.Key != "":
		return fmt.Sprintf("gguf: %s: key %.200q: %v", e.File, e.Key, e.Err)
	}
	return fmt.Sprintf("gguf: %s: %v", e.File, e.Err)
}

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// Limits on what a file may declare.
const (
	maxHeader  = 1 << 28 // bytes of metadata and tensor descriptions
	maxKeys    = 1 << 16
	maxTensors = 1 << 20
	maxName    = 1<<16 - 1
	maxRank    = 4
	maxDepth   = 4 // nesting of arrays
)

const (
	magic            = "GGUF"
	version          = 3
	defaultAlignment = 32
	alignmentKey     = "general.alignment"
)

// aligned returns n rounded up to a multiple of the alignment, a power of two.
func aligned(n, alignment int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }
