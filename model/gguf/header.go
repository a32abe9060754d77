package gguf

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode"
	"unicode/utf8"
)

// TensorInfo describes a tensor and its location.
type TensorInfo struct {
	Name          string
	Type          Type
	Shape         []int // outermost first; the last dimension is the length of a row
	Offset, Bytes int64 // location of its data in the file
}

// Header is the part of a file before the tensors' data.
type Header struct {
	Version  int
	Metadata Metadata
	Tensors  []TensorInfo // in the order of the file
}

// ReadHeader reads and checks the header of a file of the given size. It does not read the
// tensors' data. name is the name of the file in errors.
func ReadHeader(r io.ReaderAt, size int64, name string) (*Header, error) {
	d := &decoder{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), left: min(size, maxHeader)}
	d.cut = d.left < size
	h, err := d.header(size)
	if err != nil {
		return nil, &FormatError{File: name, Key: d.key, Tensor: d.tensor, Err: err}
	}
	return h, nil
}

// decoder reads a header.
type decoder struct {
	r           *bufio.Reader
	at, left    int64  // bytes read, and bytes that may follow
	cut         bool   // whether the file has more bytes than left
	key, tensor string // the key or tensor that is being read
	scratch     [8]byte
}

func (d *decoder) header(size int64) (*Header, error) {
	start, err := d.bytes(4)
	if err != nil || string(start) != magic {
		return nil, cmp.Or(err, fmt.Errorf("%w: it begins with %q", ErrMagic, start))
	}
	v, err := d.uint(4)
	switch {
	case err != nil:
		return nil, err
	case v&0xffff == 0:
		return nil, fmt.Errorf("%w: the file is big-endian", ErrVersion)
	case v != 2 && v != version:
		return nil, fmt.Errorf("%w %d, want 2 or 3", ErrVersion, v)
	}
	tensors, err := d.count(33) // minimum size of name, rank, dimension, type and offset
	if err == nil && tensors > maxTensors {
		err = fmt.Errorf("%w: %d of them, more than %d", ErrHeader, tensors, maxTensors)
	}
	if err != nil {
		return nil, fmt.Errorf("tensors: %w", err)
	}
	entries, err := d.count(13) // minimum size of key, type and value
	if err == nil && entries > maxKeys {
		err = fmt.Errorf("%w: %d of them, more than %d", ErrHeader, entries, maxKeys)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	h := &Header{Version: int(v)}
	if err := d.metadata(h, entries); err != nil {
		return nil, err
	}
	d.key = ""
	alignment, err := alignmentOf(h.Metadata)
	if err != nil {
		d.key = alignmentKey
		return nil, err
	}
	seen := map[string]bool{}
	for range tensors {
		t, err := d.info()
		if err == nil && seen[t.Name] {
			err = ErrDuplicate
		}
		if err != nil {
			return nil, err
		}
		seen[t.Name] = true
		h.Tensors = append(h.Tensors, t)
	}
	d.tensor, err = h.place(aligned(d.at, alignment), alignment, size)
	return h, err
}

// alignmentOf returns the alignment of the tensors' data.
func alignmentOf(m Metadata) (int64, error) {
	if !m.Has(alignmentKey) {
		return defaultAlignment, nil
	}
	n, err := Value[uint32](m, alignmentKey)
	if err == nil && (n == 0 || n&(n-1) != 0) {
		err = fmt.Errorf("%w %d: want a power of two", ErrValue, n)
	}
	return int64(n), err
}

func (d *decoder) metadata(h *Header, entries uint64) error {
	seen := map[string]bool{}
	for range entries {
		key, err := d.name()
		if err != nil {
			return err
		}
		if d.key = key; seen[key] {
			return ErrDuplicate
		}
		seen[key] = true
		t, err := d.uint(4)
		if err != nil {
			return err
		}
		v, err := d.value(uint32(t), 0)
		if err != nil {
			return err
		}
		h.Metadata = append(h.Metadata, KeyValue{key, v})
	}
	return nil
}

// info reads the description of a tensor; its offset is relative to the start of the data.
func (d *decoder) info() (t TensorInfo, err error) {
	d.tensor = ""
	if t.Name, err = d.name(); err != nil {
		return t, err
	}
	d.tensor = t.Name
	rank, err := d.uint(4)
	if err != nil {
		return t, err
	}
	if rank > maxRank {
		return t, fmt.Errorf("%w: %d dimensions, more than %d", ErrShape, rank, maxRank)
	}
	for range rank {
		n, err := d.uint(8)
		if err != nil {
			return t, err
		}
		if n > math.MaxInt {
			return t, fmt.Errorf("%w: dimension %d", ErrShape, n)
		}
		t.Shape = append(t.Shape, int(n))
	}
	slices.Reverse(t.Shape)
	kind, err := d.uint(4)
	if err != nil {
		return t, err
	}
	t.Type = Type(kind)
	offset, err := d.uint(8)
	if err != nil {
		return t, err
	}
	if offset > math.MaxInt64 {
		return t, fmt.Errorf("%w %d", ErrOffset, offset)
	}
	t.Offset = int64(offset)
	t.Bytes, err = dataBytes(t.Type, t.Shape)
	return t, err
}

// place converts offsets to offsets in the file, whose data begins at start, and checks
// that tensors lie within the file and do not overlap. On error it returns the name of the
// tensor at fault.
func (h *Header) place(start, alignment, size int64) (tensor string, err error) {
	byPlace := make([]*TensorInfo, len(h.Tensors))
	for i := range h.Tensors {
		byPlace[i] = &h.Tensors[i]
	}
	slices.SortFunc(byPlace, func(a, b *TensorInfo) int { return cmp.Compare(a.Offset, b.Offset) })
	at := int64(0)
	for _, t := range byPlace {
		room := max(0, size-start)
		switch {
		case t.Offset%alignment != 0:
			return t.Name, fmt.Errorf("%w %d: want a multiple of %d", ErrOffset, t.Offset, alignment)
		case t.Offset < at:
			return t.Name, fmt.Errorf("%w %d: overlaps the tensor that ends at %d", ErrOffset, t.Offset, at)
		case t.Offset > room || t.Bytes > room-t.Offset:
			return t.Name, fmt.Errorf("%w: %d bytes at %d of the data, which are %d", ErrTruncated, t.Bytes, t.Offset, room)
		}
		at = t.Offset + t.Bytes
		t.Offset += start
	}
	return "", nil
}

// take checks that n bytes are left and counts them as read.
func (d *decoder) take(n uint64) error {
	if n > uint64(d.left) {
		if d.cut {
			return fmt.Errorf("%w: more than %d bytes", ErrHeader, maxHeader)
		}
		return fmt.Errorf("%w: want %d bytes at offset %d, %d are left", ErrTruncated, n, d.at, d.left)
	}
	d.at += int64(n)
	d.left -= int64(n)
	return nil
}

// bytes reads n bytes.
func (d *decoder) bytes(n uint64) ([]byte, error) {
	if err := d.take(n); err != nil {
		return nil, err
	}
	b := d.scratch[:min(n, uint64(len(d.scratch)))]
	if n > uint64(len(b)) {
		b = make([]byte, n)
	}
	if _, err := io.ReadFull(d.r, b); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, ErrTruncated
	} else if err != nil {
		return nil, err
	}
	return b, nil
}

// uint reads an integer of size bytes.
func (d *decoder) uint(size int) (uint64, error) {
	b, err := d.bytes(uint64(size))
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// count reads the number of items that take at least the given number of bytes each.
func (d *decoder) count(least int64) (uint64, error) {
	n, err := d.uint(8)
	if err == nil && n > uint64(d.left/least) {
		err = fmt.Errorf("%w: %d of them in %d bytes", ErrTruncated, n, d.left)
		if d.cut {
			err = fmt.Errorf("%w: %d of them in at most %d bytes", ErrHeader, n, maxHeader)
		}
	}
	return n, err
}

func (d *decoder) text() (string, error) {
	n, err := d.uint(8)
	if err != nil {
		return "", err
	}
	b, err := d.bytes(n)
	return string(b), err
}

// name reads the name of a key or tensor.
func (d *decoder) name() (string, error) {
	n, err := d.uint(8)
	if err != nil {
		return "", err
	}
	if n > maxName {
		return "", fmt.Errorf("%w: %d bytes, more than %d", ErrName, n, maxName)
	}
	b, err := d.bytes(n)
	if err != nil {
		return "", err
	}
	return string(b), checkName(string(b))
}

// checkName rejects names that would corrupt a log.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrName)
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
