package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name   string
	Type   Type
	Shape  []int                   // outermost first
	Stream func(w io.Writer) error // writes exactly the tensor's bytes
}

// Write writes a file of version 3, with metadata and tensors in the given order. The data
// of each tensor begins at a multiple of the metadata's general.alignment, or 32.
func Write(w io.Writer, m Metadata, tensors []Tensor) error {
	alignment, err := alignmentOf(m)
	if err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	header, sizes, err := encodeHeader(m, tensors, alignment)
	if err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	padding := make([]byte, alignment)
	header = append(header, padding[:aligned(int64(len(header)), alignment)-int64(len(header))]...)
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("gguf: write header: %w", err)
	}
	for i, t := range tensors {
		exact := &exactWriter{w: w, left: sizes[i]}
		err := t.Stream(exact)
		if err == nil && exact.left != 0 {
			err = fmt.Errorf("the stream ended %d bytes short of %d", exact.left, sizes[i])
		}
		if err == nil {
			_, err = w.Write(padding[:aligned(sizes[i], alignment)-sizes[i]])
		}
		if err != nil {
			return fmt.Errorf("gguf: write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader returns the header without padding, and the number of bytes of each tensor.
func encodeHeader(m Metadata, tensors []Tensor, alignment int64) (b []byte, sizes []int64, err error) {
	b = binary.LittleEndian.AppendUint32([]byte(magic), version)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(m)))
	keys := map[string]bool{}
	for _, kv := range m {
		err := checkName(kv.Key)
		if err == nil && keys[kv.Key] {
			err = ErrDuplicate
		}
		if err == nil {
			keys[kv.Key] = true
			b, err = appendPlain(b, kv.Key)
		}
		if err == nil {
			b, err = appendValue(b, kv.Value)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("key %.200q: %w", kv.Key, err)
		}
	}
	names, offset := map[string]bool{}, int64(0)
	for _, t := range tensors {
		size, err := dataBytes(t.Type, t.Shape)
		if err == nil {
			err = checkName(t.Name)
		}
		if err == nil && names[t.Name] {
			err = ErrDuplicate
		}
		if err == nil && offset+aligned(size, alignment) < offset {
			err = fmt.Errorf("%w: the file would exceed 63 bits", ErrOffset)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %.200q: %w", t.Name, err)
		}
		names[t.Name] = true
		b, _ = appendPlain(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Shape)))
		for _, dim := range slices.Backward(t.Shape) {
			b = binary.LittleEndian.AppendUint64(b, uint64(dim))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(t.Type))
		b = binary.LittleEndian.AppendUint64(b, uint64(offset))
		offset += aligned(size, alignment)
		sizes = append(sizes, size)
	}
	return b, sizes, nil
}

// exactWriter returns an error for bytes beyond the end of the tensor.
type exactWriter struct {
	w    io.Writer
	left int64
}

var errTooMuch = errors.New("more bytes than the tensor has")

func (e *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, errTooMuch
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	return n, err
}
