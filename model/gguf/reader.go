package gguf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Reader gives access to the tensors of a file. Several goroutines may use it at once.
type Reader struct {
	Header
	path   string // path that was opened
	f      *os.File
	byName []int // indices into Tensors, sorted by name
}

// Open opens a file and reads its header. Errors name the file, and wrap a [FormatError] if
// its content is at fault.
func Open(path string) (*Reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe may block forever
		return nil, fmt.Errorf("gguf: %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	h, err := ReadHeader(f, info.Size(), path)
	if err != nil {
		f.Close()
		return nil, err
	}
	r := &Reader{Header: *h, path: path, f: f, byName: make([]int, len(h.Tensors))}
	for i := range r.byName {
		r.byName[i] = i
	}
	slices.SortFunc(r.byName, func(a, b int) int { return cmp.Compare(r.Tensors[a].Name, r.Tensors[b].Name) })
	return r, nil
}

// IsGGUF reports whether path is a regular file that begins like a GGUF file.
func IsGGUF(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var start [4]byte
	_, err = io.ReadFull(f, start[:])
	return err == nil && string(start[:]) == magic
}

// Path returns the path that was opened.
func (r *Reader) Path() string { return r.path }

// Find finds a tensor by name.
func (r *Reader) Find(name string) (TensorInfo, bool) {
	at, ok := slices.BinarySearchFunc(r.byName, name, func(i int, name string) int {
		return cmp.Compare(r.Tensors[i].Name, name)
	})
	if !ok {
		return TensorInfo{}, false
	}
	return r.Tensors[r.byName[at]], true
}

// ReadAt fills b with the bytes of t, starting at byte at.
func (r *Reader) ReadAt(t TensorInfo, b []byte, at int64) error {
	if at < 0 || int64(len(b)) > t.Bytes-at {
		panic(fmt.Sprintf("gguf: ReadAt: %d bytes at %d of tensor %q, which has %d", len(b), at, t.Name, t.Bytes))
	}
	_, err := r.f.ReadAt(b, t.Offset+at)
	if errors.Is(err, io.EOF) {
		err = &FormatError{File: r.path, Tensor: t.Name, Err: ErrTruncated}
	} else if err != nil {
		err = fmt.Errorf("gguf: %s: tensor %q: %w", r.path, t.Name, err)
	}
	return err
}

// Close closes the file.
func (r *Reader) Close() error { return r.f.Close() }

// ReadCodes applies Type.Split to whole rows of t, starting at row first.
func (r *Reader) ReadCodes(t TensorInfo, first int, codes, scales, minimums []byte) error {
	data := make([]byte, t.Type.Bytes(len(codes)))
	if err := r.ReadAt(t, data, int64(first)*int64(t.Type.Bytes(t.Shape[len(t.Shape)-1]))); err != nil {
		return err
	}
	t.Type.Split(codes, scales, minimums, data)
	return nil
}

// ReadRows sets dst to whole rows of t in F32, starting at row first. Rows are counted over
// all dimensions but the last.
func (r *Reader) ReadRows(t TensorInfo, first int, dst []float32) error {
	width := t.Shape[len(t.Shape)-1]
	data := make([]byte, t.Type.Bytes(len(dst)))
	if err := r.ReadAt(t, data, int64(first)*int64(t.Type.Bytes(width))); err != nil {
		return err
	}
	t.Type.Dequantize(dst, data)
	return nil
}
