package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Tensor is a tensor to be written: its description, and either its bytes or a function
// that writes them.
type Tensor struct {
	Name   string
	DType  DType
	Shape  []int                   // outermost first
	Data   []byte                  // little-endian, C order; used if Stream is nil
	Stream func(w io.Writer) error // writes exactly the tensor's bytes; if nil, Data is written
}

// Write writes a safetensors file. The bytes depend on the tensors and the metadata, but
// not on the order of the tensors: they are sorted by decreasing element size, which keeps
// them aligned, and then by name. The data begins at a multiple of eight bytes. If metadata
// is nil, none is written.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	sorted := slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), strings.Compare(a.Name, b.Name))
	})
	header, sizes, err := encodeHeader(sorted, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("checkpoint: write header: %w", err)
	}
	for i, t := range sorted {
		if err := writeTensor(w, t, sizes[i]); err != nil {
			return fmt.Errorf("checkpoint: write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader returns the header, that is its length, its JSON and the padding, and the
// number of data bytes of each tensor.
func encodeHeader(tensors []Tensor, metadata map[string]string) (header []byte, sizes []int64, err error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	if metadata != nil {
		for _, k := range slices.Sorted(maps.Keys(metadata)) {
			if !utf8.ValidString(k) || !utf8.ValidString(metadata[k]) {
				return nil, nil, fmt.Errorf("checkpoint: write: metadata %q is not UTF-8", k)
			}
		}
		text, err := encodeJSON(metadata)
		if err != nil {
			return nil, nil, fmt.Errorf("checkpoint: write: metadata: %w", err)
		}
		fmt.Fprintf(&b, "%q:%s", metadataKey, text)
	}
	seen := map[string]bool{}
	var at int64
	for _, t := range tensors {
		size, err := dataBytes(t.DType, t.Shape)
		switch {
		case err != nil:
		case seen[t.Name]:
			err = ErrDuplicate
		case t.Stream == nil && int64(len(t.Data)) != size:
			err = fmt.Errorf("%d bytes of data, but %s of shape %v takes %d", len(t.Data), t.DType, t.Shape, size)
		default:
			err = checkName(t.Name)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("checkpoint: write tensor %.200q: %w", t.Name, err)
		}
		seen[t.Name] = true
		name, err := encodeJSON(t.Name)
		if err != nil {
			return nil, nil, fmt.Errorf("checkpoint: write tensor %q: %w", t.Name, err)
		}
		if b.Len() > len("01234567{") {
			b.WriteByte(',')
		}
		shape := strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ",")
		fmt.Fprintf(&b, `%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, at, at+size)
		if at+size < at {
			return nil, nil, fmt.Errorf("checkpoint: write tensor %q: the file would exceed 63 bits", t.Name)
		}
		at += size
		sizes = append(sizes, size)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > maxHeader {
		return nil, nil, fmt.Errorf("checkpoint: write: %w: %d bytes, more than %d", ErrHeader, n, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), sizes, nil
}

// encodeJSON does not escape <, > and &, like the reference writer.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func writeTensor(w io.Writer, t Tensor, size int64) error {
	if t.Stream == nil {
		_, err := w.Write(t.Data)
		return err
	}
	exact := &exactWriter{w: w, left: size}
	if err := t.Stream(exact); err != nil {
		return err
	}
	if exact.left != 0 {
		return fmt.Errorf("the stream ended %d bytes short of %d", exact.left, size)
	}
	return nil
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
