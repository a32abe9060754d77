package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// metadataKey is the key of the free-form metadata, next to the tensors in a header.
const metadataKey = "__metadata__"

// Header describes the contents of a safetensors file.
type Header struct {
	Tensors   []TensorInfo      // sorted by name
	Metadata  map[string]string // nil if the file has none
	DataStart int64             // offset in the file of the first byte of the tensors
}

// ReadHeader reads and checks the header of a safetensors file of the given size. It does
// not read the tensors. name is the name of the file in errors.
//
// The file consists of the length N of the header in eight bytes, little-endian, then N
// bytes of JSON, which may end in spaces, then the tensors, which must cover the rest of
// the file without gaps or overlaps.
func ReadHeader(r io.ReaderAt, size int64, name string) (*Header, error) {
	fail := func(tensor string, err error) (*Header, error) {
		return nil, &FormatError{File: name, Tensor: tensor, Err: err}
	}
	if size < 8 {
		return fail("", fmt.Errorf("%w: %d bytes, less than a header length", ErrTruncated, size))
	}
	var length [8]byte
	if _, err := r.ReadAt(length[:], 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("checkpoint: %s: %w", name, err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return fail("", fmt.Errorf("%w: length %d is above %d", ErrHeader, n, maxHeader))
	}
	if n > uint64(size-8) {
		return fail("", fmt.Errorf("%w: header of %d bytes in a file of %d", ErrTruncated, n, size))
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(n)), text); err != nil {
		return nil, fmt.Errorf("checkpoint: %s: header: %w", name, err)
	}
	h := &Header{DataStart: 8 + int64(n)}
	if tensor, err := h.parse(text, name); err != nil {
		return fail(tensor, err)
	}
	if tensor, err := h.checkTiling(size - h.DataStart); err != nil {
		return fail(tensor, err)
	}
	return h, nil
}

// parse fills h from the JSON. On error it returns the name of the tensor at fault.
func (h *Header) parse(text []byte, file string) (tensor string, err error) {
	text = bytes.TrimRight(text, " ")
	if !bytes.HasPrefix(text, []byte("{")) || !bytes.HasSuffix(text, []byte("}")) {
		return "", fmt.Errorf("%w: not a JSON object", ErrHeader)
	}
	d, err := newDecoder(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHeader, err)
	}
	err = eachKey(d, func(key string) error {
		tensor = key
		if key == metadataKey {
			h.Metadata = map[string]string{}
			return eachKey(d, func(key string) error {
				v, err := readString(d)
				h.Metadata[key] = v
				return err
			})
		}
		if err := checkName(key); err != nil {
			return err
		}
		info, err := readInfo(d)
		info.Name, info.File = key, file
		h.Tensors = append(h.Tensors, info)
		return err
	})
	if err != nil && !isNamed(err) {
		err = fmt.Errorf("%w: %w", ErrHeader, err)
	}
	slices.SortFunc(h.Tensors, func(a, b TensorInfo) int { return strings.Compare(a.Name, b.Name) })
	return tensor, err
}

func isNamed(err error) bool {
	return slices.ContainsFunc([]error{ErrHeader, ErrName, ErrDuplicate, ErrDType, ErrShape, ErrOffsets},
		func(named error) bool { return errors.Is(err, named) })
}

// readInfo decodes {"dtype": …, "shape": …, "data_offsets": …}.
func readInfo(d *json.Decoder) (info TensorInfo, err error) {
	var offsets []int64
	var fields int
	err = eachKey(d, func(key string) error {
		fields++
		switch key {
		case "dtype":
			dtype, err := readString(d)
			info.DType = DType(dtype)
			return err
		case "shape":
			shape, err := readNumbers(d, maxRank, strconv.IntSize)
			for _, dim := range shape {
				info.Shape = append(info.Shape, int(dim))
			}
			if err != nil {
				err = fmt.Errorf("%w: %w", ErrShape, err)
			}
			return err
		case "data_offsets":
			offsets, err = readNumbers(d, 2, 64)
			if err == nil && len(offsets) != 2 {
				err = errors.New("want two numbers")
			}
			if err != nil {
				err = fmt.Errorf("%w: %w", ErrOffsets, err)
			}
			return err
		}
		return fmt.Errorf("%w: unknown key %.40q", ErrHeader, key)
	})
	if err != nil {
		return info, err
	}
	if fields != 3 {
		return info, fmt.Errorf("%w: want dtype, shape and data_offsets", ErrHeader)
	}
	size, err := dataBytes(info.DType, info.Shape)
	if err != nil {
		return info, err
	}
	info.Begin, info.End = offsets[0], offsets[1]
	if info.End < info.Begin || info.Bytes() != size {
		return info, fmt.Errorf("%w [%d %d]: %s of shape %v takes %d bytes", ErrOffsets, info.Begin, info.End, info.DType,
			info.Shape, size)
	}
	return info, nil
}

// checkTiling checks that the tensors cover the data exactly.
func (h *Header) checkTiling(size int64) (tensor string, err error) {
	byPlace := slices.SortedFunc(slices.Values(h.Tensors), func(a, b TensorInfo) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), strings.Compare(a.Name, b.Name))
	})
	var at int64
	for _, t := range byPlace {
		switch {
		case t.Begin < at:
			return t.Name, fmt.Errorf("%w [%d %d]: overlaps the tensor that ends at %d", ErrOffsets, t.Begin, t.End, at)
		case t.Begin > at:
			return t.Name, fmt.Errorf("%w [%d %d]: nothing covers bytes %d to %d", ErrOffsets, t.Begin, t.End, at, t.Begin)
		case t.End > size:
			return t.Name, fmt.Errorf("%w: tensor ends at byte %d of %d", ErrTruncated, t.End, size)
		}
		at = t.End
	}
	if at != size {
		return "", fmt.Errorf("%w: %d bytes follow the last tensor", ErrOffsets, size-at)
	}
	return "", nil
}

// newDecoder returns a decoder for text, which must be one valid JSON document in UTF-8.
func newDecoder(text []byte) (*json.Decoder, error) {
	// encoding/json replaces invalid UTF-8, which could make two names equal.
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	if !json.Valid(text) {
		return nil, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d, nil
}

// eachKey reads an object and calls value for each key; value must read the key's value.
func eachKey(d *json.Decoder, value func(key string) error) error {
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return fmt.Errorf("want an object, found %.40q", fmt.Sprint(t))
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key := t.(string) // the decoder allows only strings as keys
		if seen[key] {
			return fmt.Errorf("%w: %.200q", ErrDuplicate, key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func readString(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("want a string, found %.40q", fmt.Sprint(t))
	}
	return s, nil
}

// readNumbers reads a list of at most limit non-negative integers of width bits.
func readNumbers(d *json.Decoder, limit, width int) ([]int64, error) {
	if t, err := d.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('[') {
		return nil, fmt.Errorf("want a list, found %.40q", fmt.Sprint(t))
	}
	var list []int64
	for d.More() {
		if len(list) == limit {
			return nil, fmt.Errorf("more than %d numbers", limit)
		}
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		n, err := strconv.ParseInt(string(number), 10, width)
		if err != nil || number[0] == '-' {
			return nil, fmt.Errorf("%.40q is not a non-negative integer of %d bits", fmt.Sprint(t), width-1)
		}
		list = append(list, n)
	}
	_, err := d.Token()
	return list, err
}
