package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// file joins strings and little-endian integers of the size of their types.
func file(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b.WriteString(p)
		case []byte:
			b.Write(p)
		default:
			if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
				panic(err)
			}
		}
	}
	return b.Bytes()
}

// text encodes a string, preceded by its length.
func text(s string) []byte { return file(uint64(len(s)), s) }

func head(tensors, entries uint64) []byte { return file(magic, uint32(3), tensors, entries) }

// tensor encodes the description of a tensor, with dims innermost first.
func tensor(name string, t Type, offset uint64, dims ...uint64) []byte {
	return file(text(name), uint32(len(dims)), dims, uint32(t), offset)
}

func entry(key string, t uint32, value ...any) []byte { return file(text(key), t, file(value...)) }

func TestHostileFilesAreRefused(t *testing.T) {
	pad := make([]byte, 4096)
	many := uint64(1) << 62
	deep := file(text("k"), uint32(typeArray))
	for range 1000 {
		deep = append(deep, file(uint32(typeArray), uint64(1))...)
	}
	cases := map[string]struct {
		file []byte
		want error
	}{
		"empty":             {nil, ErrTruncated},
		"another file":      {file("PK\x03\x04", pad), ErrMagic},
		"big-endian":        {file(magic, uint32(3<<24), pad), ErrVersion},
		"version 1":         {file(magic, uint32(1), pad), ErrVersion},
		"version 4":         {file(magic, uint32(4), pad), ErrVersion},
		"no counts":         {file(magic, uint32(3)), ErrTruncated},
		"too many tensors":  {file(head(many, 0), pad), ErrTruncated},
		"too many keys":     {file(head(0, math.MaxUint64), pad), ErrTruncated},
		"tensors that lack": {head(1, 0), ErrTruncated},
		"one tensor of 2³²": {file(head(1<<32, 0), tensor("a", F32, 0, 4), pad), ErrTruncated},
		"two keys, one is":  {file(head(0, 2), entry("a", typeUint8, uint8(1))), ErrTruncated},
		"string of 2⁶³":     {file(head(0, 1), entry("a", typeString, uint64(1<<63)), pad), ErrTruncated},
		"string beyond 2⁶³": {file(head(0, 1), entry("a", typeString, uint64(math.MaxUint64)), pad), ErrTruncated},
		"array beyond 2⁶³": {file(head(0, 1), entry("a", typeArray, uint32(typeUint64), uint64(math.MaxUint64)), pad),
			ErrTruncated},
		"array of arrays of text": {file(head(0, 1), entry("a", typeArray, uint32(typeArray), uint64(1), uint32(typeString),
			many), pad), ErrTruncated},
		"long key":            {file(head(0, 1), uint64(1<<16), pad, pad), ErrName},
		"key beyond the file": {file(head(0, 1), uint64(5000), pad), ErrTruncated},
		"key of any length":   {file(head(0, 1), uint64(math.MaxUint64), pad), ErrName},
		"empty key":           {file(head(0, 1), entry("", typeUint8, uint8(1)), pad), ErrName},
		"key not UTF-8":       {file(head(0, 1), entry("\xff", typeUint8, uint8(1)), pad), ErrName},
		"key with control":    {file(head(0, 1), entry("a\x1b", typeUint8, uint8(1)), pad), ErrName},
		"repeated key": {file(head(0, 2), entry("a", typeUint8, uint8(1)),
			entry("a", typeUint8, uint8(1))), ErrDuplicate},
		"unknown value":      {file(head(0, 1), entry("a", 13), pad), ErrValue},
		"bool 2":             {file(head(0, 1), entry("a", typeBool, uint8(2)), pad), ErrValue},
		"long string":        {file(head(0, 1), entry("a", typeString, many), pad), ErrTruncated},
		"long array":         {file(head(0, 1), entry("a", typeArray, uint32(typeUint8), many), pad), ErrTruncated},
		"long array of text": {file(head(0, 1), entry("a", typeArray, uint32(typeString), uint64(600))), ErrTruncated},
		"array of unknown":   {file(head(0, 1), entry("a", typeArray, uint32(99), uint64(1)), pad), ErrValue},
		"arrays in arrays":   {file(head(0, 1), deep, pad), ErrValue},
		"alignment 0":        {file(head(0, 1), entry(alignmentKey, typeUint32, uint32(0)), pad), ErrValue},
		"alignment 48":       {file(head(0, 1), entry(alignmentKey, typeUint32, uint32(48)), pad), ErrValue},
		"alignment -1":       {file(head(0, 1), entry(alignmentKey, typeInt32, int32(-1)), pad), ErrValue},
		"alignment of text":  {file(head(0, 1), entry(alignmentKey, typeString, text("32")), pad), ErrValue},
		"alignment 2³¹": {file(head(1, 1), entry(alignmentKey, typeUint32, uint32(1<<31)),
			tensor("a", F32, 0, 4), pad), ErrTruncated},
		"empty tensor name":     {file(head(1, 0), tensor("", F32, 0, 4), pad), ErrName},
		"repeated tensor":       {file(head(2, 0), tensor("a", F32, 0, 4), tensor("a", F32, 32, 4), pad), ErrDuplicate},
		"many dimensions":       {file(head(1, 0), tensor("a", F32, 0, 1, 1, 1, 1, 1), pad), ErrShape},
		"no dimensions":         {file(head(1, 0), tensor("a", F32, 0), pad), ErrShape},
		"dimension 0":           {file(head(1, 0), tensor("a", F32, 0, 4, 0), pad), ErrShape},
		"dimension 2⁶³":         {file(head(1, 0), tensor("a", F32, 0, 1<<63), pad), ErrShape},
		"product beyond 2⁶³":    {file(head(1, 0), tensor("a", F32, 0, 1<<32, 1<<32), pad), ErrShape},
		"bytes beyond 2⁶³":      {file(head(1, 0), tensor("a", F32, 0, 1<<31, 1<<30, 2), pad), ErrShape},
		"row of half a block":   {file(head(1, 0), tensor("a", Q4_1, 0, 48), pad), ErrShape},
		"unknown type":          {file(head(1, 0), tensor("a", 1000, 0, 32), pad), ErrType},
		"type that is not read": {file(head(1, 0), tensor("a", 10, 0, 256), pad), ErrType},
		"unaligned offset":      {file(head(1, 0), tensor("a", F32, 4, 4), pad), ErrOffset},
		"offset 2⁶³":            {file(head(1, 0), tensor("a", F32, 1<<63, 4), pad), ErrOffset},
		"offset at the end":     {file(head(1, 0), tensor("a", F32, 1<<62, 4), pad), ErrTruncated},
		"data beyond the file":  {file(head(1, 0), tensor("a", F32, 0, 1<<20), pad), ErrTruncated},
		"tensors at one place":  {file(head(2, 0), tensor("a", F32, 0, 4), tensor("b", F32, 0, 4), pad), ErrOffset},
		"offset that wraps":     {file(head(1, 0), tensor("a", F32, math.MaxUint64-31, 4), pad), ErrOffset},
		"bytes that wrap":       {file(head(1, 0), tensor("a", F32, 1<<63-32, 1<<40), pad), ErrTruncated},
		"dimensions that wrap":  {file(head(1, 0), tensor("a", F32, 0, 1<<33, 1<<31, 1, 1), pad), ErrShape},
		"2³² dimensions":        {file(head(1, 0), text("a"), uint32(math.MaxUint32), pad), ErrShape},
		"overlap":               {file(head(2, 0), tensor("a", F32, 32, 4), tensor("b", F32, 0, 16), pad), ErrOffset},
	}
	for what, c := range cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := ReadHeader(bytes.NewReader(c.file), int64(len(c.file)), "hostile")
		taken := time.Since(start)
		runtime.ReadMemStats(&after)
		if size := after.TotalAlloc - before.TotalAlloc; taken > time.Second || size > 1<<20 {
			t.Errorf("%s took %v and %d bytes", what, taken, size)
		}
		wantError(t, what, err, c.want)
		if fault := (*FormatError)(nil); !errors.As(err, &fault) || fault.File != "hostile" {
			t.Errorf("%s: %v is not a FormatError of the file", what, err)
		}
	}
}

func TestErrorsNameKeyAndTensor(t *testing.T) {
	bad := file(head(0, 1), entry("the.key", typeBool, uint8(2)))
	_, err := ReadHeader(bytes.NewReader(bad), int64(len(bad)), "f")
	if fault := (*FormatError)(nil); !errors.As(err, &fault) || fault.Key != "the.key" || fault.Tensor != "" {
		t.Errorf("%v does not name the key", err)
	}
	bad = file(head(2, 0), tensor("good", F32, 0, 4), tensor("the tensor", F32, 0, 4), make([]byte, 99))
	_, err = ReadHeader(bytes.NewReader(bad), int64(len(bad)), "f")
	if fault := (*FormatError)(nil); !errors.As(err, &fault) || fault.Key != "" || fault.Tensor != "the tensor" {
		t.Errorf("%v does not name the tensor", err)
	}
}

// sparse is a header followed by zeros.
type sparse []byte

func (s sparse) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(s)) {
		copy(b, s[at:])
	}
	return len(b), nil
}

func TestHeadersOfHugeFilesAreLimited(t *testing.T) {
	for what, start := range map[string][]byte{
		"keys":       head(0, 1<<30),
		"fewer keys": head(0, maxKeys+1),
		"tensors":    head(maxTensors+1, 0),
		"string":     file(head(0, 1), entry("a", typeString, uint64(1<<40))),
		"array":      file(head(0, 1), entry("a", typeArray, uint32(typeUint8), uint64(1<<40))),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadHeader(sparse(start), 1<<42, "huge")
		runtime.ReadMemStats(&after)
		wantError(t, what, err, ErrHeader)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", what, n)
		}
	}
}

func TestWriteIsReadBack(t *testing.T) {
	m := append(Metadata{{alignmentKey, uint32(64)}}, openTypes(t).Metadata...)
	m = append(m, KeyValue{"nested", []any{[]uint8{1, 2}, []string{"x"}, []any{[]float64{}}}}, KeyValue{"none", []int64{}},
		KeyValue{"more", []any{[]int8{-1}, []uint16{1}, []int16{-1}, []uint32{1}, []uint64{1}}})
	a, b := bytes.Repeat([]byte{1}, 3*34), bytes.Repeat([]byte{2}, 20)
	write := func(data []byte) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(data); return err }
	}
	var out bytes.Buffer
	if err := Write(&out, m, []Tensor{{"b", Q8_0, []int{3, 32}, write(a)}, {"a", F32, []int{5}, write(b)}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !reflect.DeepEqual(r.Metadata, m) {
		t.Errorf("metadata %v, want %v", r.Metadata, m)
	}
	for i, want := range [][]byte{a, b} {
		info, got := r.Tensors[i], make([]byte, len(want))
		if err := r.ReadAt(info, got, 0); err != nil || !bytes.Equal(got, want) || info.Offset%64 != 0 {
			t.Errorf("%v: %v, %v, want %v", info, got, err, want)
		}
	}
	if !slices.Equal(r.Tensors[0].Shape, []int{3, 32}) || r.Tensors[0].Name != "b" {
		t.Errorf("the first tensor is %v", r.Tensors[0])
	}
	if err := os.Truncate(path, r.Tensors[1].Offset+4); err != nil {
		t.Fatal(err)
	}
	wantError(t, "file that became shorter", r.ReadAt(r.Tensors[1], b, 0), ErrTruncated)
}

func TestWriteRefuses(t *testing.T) {
	stream := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	one := func(name string, kind Type, n int, shape ...int) []Tensor {
		return []Tensor{{name, kind, shape, stream(n)}}
	}
	for what, c := range map[string]struct {
		m       Metadata
		tensors []Tensor
		want    error
	}{
		"value without a type": {Metadata{{"a", 1}}, nil, ErrValue},
		"mixed array":          {Metadata{{"a", []any{1}}}, nil, ErrValue},
		"repeated key":         {Metadata{{"a", "b"}, {"a", "b"}}, nil, ErrDuplicate},
		"bad alignment":        {Metadata{{alignmentKey, uint32(3)}}, nil, ErrValue},
		"bad name":             {nil, one("\n", F32, 4, 1), ErrName},
		"repeated tensor":      {nil, append(one("a", F32, 4, 1), one("a", F32, 4, 1)...), ErrDuplicate},
		"bad shape":            {nil, one("a", Q8_0, 4, 31), ErrShape},
		"long stream":          {nil, one("a", F32, 5, 1), errTooMuch},
	} {
		wantError(t, what, Write(io.Discard, c.m, c.tensors), c.want)
	}
	err := Write(io.Discard, nil, one("a", F32, 3, 1))
	if err == nil || !strings.Contains(err.Error(), "1 bytes short of 4") {
		t.Errorf("short stream: %v", err)
	}
}

// FuzzGGUF checks that no header causes a panic, and that an accepted header is the same
// after writing and reading it again.
func FuzzGGUF(f *testing.F) {
	types, err := os.ReadFile(filepath.Join("testdata", "types.gguf"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(types)
	f.Add(file(head(2, 2), entry("a", typeArray, uint32(typeArray), uint64(1), uint32(typeString), uint64(1), text("x")),
		entry(alignmentKey, typeUint32, uint32(8)), tensor("a", F32, 0, 2), tensor("b", Q8_0, 8, 32, 1), make([]byte, 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b), int64(len(b)), "fuzz")
		if fault := (*FormatError)(nil); err != nil && !errors.As(err, &fault) {
			t.Fatalf("%v is no FormatError", err)
		}
		if err != nil {
			return
		}
		var list []Tensor
		for _, info := range h.Tensors {
			data := b[info.Offset:][:info.Bytes]
			list = append(list, Tensor{info.Name, info.Type, info.Shape, func(w io.Writer) error {
				_, err := w.Write(data)
				return err
			}})
		}
		if n, err := alignmentOf(h.Metadata); err != nil || n > 1<<16 {
			return // writing the file would take too much memory
		}
		var out bytes.Buffer
		if err := Write(&out, h.Metadata, list); err != nil {
			t.Fatal(err)
		}
		again, err := ReadHeader(bytes.NewReader(out.Bytes()), int64(out.Len()), "again")
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Metadata) != len(h.Metadata) || len(again.Tensors) != len(h.Tensors) {
			t.Fatalf("%v became %v", h, again)
		}
		for i, info := range again.Tensors {
			if !bytes.Equal(out.Bytes()[info.Offset:][:info.Bytes], b[h.Tensors[i].Offset:][:info.Bytes]) {
				t.Fatalf("tensor %q has changed", info.Name)
			}
		}
	})
}
