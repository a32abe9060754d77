package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// file returns a safetensors file with the given header and data.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func readHeader(b []byte) (*Header, error) {
	return ReadHeader(bytes.NewReader(b), int64(len(b)), "test.safetensors")
}

func TestWriterProducesTheGoldenBytes(t *testing.T) {
	tensors := []Tensor{
		{Name: "b", DType: BF16, Shape: []int{1, 2}, Data: []byte{1, 2, 3, 4}},
		{Name: "a", DType: BF16, Shape: []int{}, Stream: func(w io.Writer) error {
			for _, c := range []byte{5, 6} {
				if _, err := w.Write([]byte{c}); err != nil {
					return err
				}
			}
			return nil
		}},
		{Name: "z", DType: F32, Shape: []int{1}, Data: []byte{0, 0, 0x80, 0x3f}},
		{Name: "none", DType: U8, Shape: []int{0, 7}},
	}
	const header = `{"__metadata__":{"format":"pt"},` +
		`"z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},` +
		`"a":{"dtype":"BF16","shape":[],"data_offsets":[4,6]},` +
		`"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[6,10]},` +
		`"none":{"dtype":"U8","shape":[0,7],"data_offsets":[10,10]}}`
	padded := header + strings.Repeat(" ", (8-len(header)%8)%8)
	want := file(padded, 0, 0, 0x80, 0x3f, 5, 6, 1, 2, 3, 4)
	for range 2 { // once for each order of the tensors
		var got bytes.Buffer
		if err := Write(&got, tensors, map[string]string{"format": "pt"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Error(diff)
		}
		tensors[0], tensors[2] = tensors[2], tensors[0]
	}
}

func TestWriterProducesTheReferenceImplementationsBytes(t *testing.T) {
	// The expected bytes were written by safetensors.numpy.save_file, version 0.8 on Python
	// 3.11, for these four arrays.
	const want = "\x00\x01\x00\x00\x00\x00\x00\x00{\"__metadata__\":{\"format\":\"pt\"}," +
		"\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}," +
		"\"b\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[8,12]}," +
		"\"e\":{\"dtype\":\"U16\",\"shape\":[0,4],\"data_offsets\":[12,12]}," +
		"\"a<é\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[12,15]}}  " +
		"\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x80?\x01\x02\x03"
	var got bytes.Buffer
	err := Write(&got, []Tensor{
		{Name: "a<é", DType: I8, Shape: []int{3}, Data: []byte{1, 2, 3}},
		{Name: "b", DType: F32, Shape: []int{1, 1}, Data: []byte{0, 0, 0x80, 0x3f}},
		{Name: "e", DType: U16, Shape: []int{0, 4}},
		{Name: "s", DType: F64, Data: []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}},
	}, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestHandMadeFileIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hand.safetensors")
	b := file(`{"w":{"dtype":"I16","shape":[2,1],"data_offsets":[1,5]},`+
		`"__metadata__":{"k":"v"},`+
		`"f":{"data_offsets":[0,1],"shape":[1],"dtype":"BOOL"}}  `, 1, 2, 3, 4, 5)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := []TensorInfo{
		{Name: "f", DType: Bool, Shape: []int{1}, File: path, Begin: 0, End: 1},
		{Name: "w", DType: I16, Shape: []int{2, 1}, File: path, Begin: 1, End: 5},
	}
	if diff := cmp.Diff(want, r.Tensors()); diff != "" {
		t.Error(diff)
	}
	if got, err := r.Read("w"); err != nil || !bytes.Equal(got, []byte{2, 3, 4, 5}) {
		t.Errorf("w: %v, %v", got, err)
	}
	if r.Metadata()["k"] != "v" {
		t.Errorf("metadata: %v", r.Metadata())
	}
	s, err := r.Section("w")
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 2)
	if _, err := s.ReadAt(part, 1); err != nil || !bytes.Equal(part, []byte{3, 4}) {
		t.Errorf("part of w: %v, %v", part, err)
	}
	if _, err := s.ReadAt(part, 3); err != io.EOF {
		t.Errorf("a section must not reach beyond its tensor, got %v", err)
	}
	if _, err := r.Read("absent"); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("got %v", err)
	}
}

func TestDTypeSizes(t *testing.T) {
	for d, want := range map[DType]int{
		F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1,
		Bool: 1, F8E4M3: 1, F8E5M2: 1, F8E8M0: 1, "F4": 0, "": 0, "f32": 0,
	} {
		if got := d.Size(); got != want {
			t.Errorf("%s: %d, want %d", d, got, want)
		}
	}
}

var dtypes = []DType{F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool, F8E4M3, F8E5M2, F8E8M0}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9._"\\<é-]{1,20}`), 0, 6, rapid.ID).Draw(t, "names")
		var tensors []Tensor
		for _, name := range names {
			d := rapid.SampledFrom(dtypes).Draw(t, "dtype")
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")
			n := d.Size()
			for _, dim := range shape {
				n *= dim
			}
			data := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "data")
			tensors = append(tensors, Tensor{Name: name, DType: d, Shape: shape, Data: data})
		}
		meta := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "metadata")
		path := filepath.Join(dir, "rapid.safetensors")
		if err := WriteAtomic(path, func(w io.Writer) error { return Write(w, tensors, meta) }); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if diff := cmp.Diff(meta, r.Metadata()); diff != "" {
			t.Fatal(diff)
		}
		if len(r.Tensors()) != len(tensors) {
			t.Fatalf("%d tensors, want %d", len(r.Tensors()), len(tensors))
		}
		for _, want := range tensors {
			info, ok := r.Lookup(want.Name)
			data, err := r.Read(want.Name)
			if !ok || err != nil || info.DType != want.DType || fmt.Sprint(info.Shape) != fmt.Sprint(want.Shape) ||
				!bytes.Equal(data, want.Data) {
				t.Fatalf("%q: got %+v %v %v, want %+v", want.Name, info, data, err, want)
			}
			if info.Begin%int64(want.DType.Size()) != 0 {
				t.Fatalf("%q of %s begins at byte %d, which is not aligned", want.Name, want.DType, info.Begin)
			}
		}
	})
}

const twoBytes = `{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`

func TestHostileHeadersAreRefusedByName(t *testing.T) {
	entry := func(name, rest string) string { return `{"` + name + `":{` + rest + `}}` }
	huge := binary.LittleEndian.AppendUint64(nil, 1<<63)
	for _, c := range []struct {
		name   string
		bytes  []byte
		want   error
		tensor string
	}{
		{"empty file", nil, ErrTruncated, ""},
		{"seven bytes", make([]byte, 7), ErrTruncated, ""},
		{"header longer than the file", file(twoBytes)[:20], ErrTruncated, ""},
		{"header of 2^63 bytes", huge, ErrHeader, ""},
		{"header above 100 MB", binary.LittleEndian.AppendUint64(nil, maxHeader+1), ErrHeader, ""},
		{"empty header", file(""), ErrHeader, ""},
		{"not an object", file("[1] "), ErrHeader, ""},
		{"leading space", file(" {}"), ErrHeader, ""},
		{"padding that is not space", file("{}\n"), ErrHeader, ""},
		{"two objects", file("{}{}"), ErrHeader, ""},
		{"not JSON", file(`{"a":}`), ErrHeader, ""},
		{"not UTF-8", file("{\"\xff\":1}"), ErrHeader, ""},
		{"entry is not an object", file(`{"t":1}`), ErrHeader, "t"},
		{"metadata is not strings", file(`{"__metadata__":{"a":1}}`), ErrHeader, metadataKey},
		{"metadata is a list", file(`{"__metadata__":["a"]}`), ErrHeader, metadataKey},
		{"repeated metadata key", file(`{"__metadata__":{"a":"","a":""}}`), ErrDuplicate, metadataKey},
		{"empty name", file(entry("", ""), 0), ErrName, ""},
		{"long name", file(entry(strings.Repeat("n", maxName+1), "")), ErrName, strings.Repeat("n", maxName+1)},
		{"control character in name", file(entry(`a\u0000b`, "")), ErrName, "a\x00b"},
		{"repeated name",
			file(`{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},` +
				`"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), ErrDuplicate, "t"},
		{"repeated name, escaped",
			file(`{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},` +
				`"\u0074":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), ErrDuplicate, "t"},
		{"repeated field", file(entry("t", `"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]`), 0), ErrDuplicate,
			"t"},
		{"unknown field", file(entry("t", `"dtype":"U8","shape":[],"offsets":[0,1]`), 0), ErrHeader, "t"},
		{"missing field", file(entry("t", `"dtype":"U8","shape":[]`), 0), ErrHeader, "t"},
		{"unknown dtype", file(entry("t", `"dtype":"F4","shape":[],"data_offsets":[0,1]`), 0), ErrDType, "t"},
		{"dtype is a number", file(entry("t", `"dtype":4,"shape":[],"data_offsets":[0,1]`), 0), ErrHeader, "t"},
		{"negative dimension", file(entry("t", `"dtype":"U8","shape":[-1],"data_offsets":[0,1]`), 0), ErrShape, "t"},
		{"minus zero", file(entry("t", `"dtype":"U8","shape":[-0],"data_offsets":[0,0]`)), ErrShape, "t"},
		{"fraction as dimension", file(entry("t", `"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`), 0), ErrShape, "t"},
		{"exponent as dimension", file(entry("t", `"dtype":"U8","shape":[1e0],"data_offsets":[0,1]`), 0), ErrShape, "t"},
		{"string as dimension", file(entry("t", `"dtype":"U8","shape":["1"],"data_offsets":[0,1]`), 0), ErrShape, "t"},
		{"shape is a number", file(entry("t", `"dtype":"U8","shape":1,"data_offsets":[0,1]`), 0), ErrShape, "t"},
		{"dimension of 2^64", file(entry("t", `"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]`), 0),
			ErrShape, "t"},
		{"shape product wraps to 1", file(entry("t",
			`"dtype":"U8","shape":[4294967297,4294967295,3,5],"data_offsets":[0,1]`), 0), ErrShape, "t"},
		{"shape product wraps to 0", file(entry("t", `"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]`)),
			ErrShape, "t"},
		{"overflow hidden by a zero", file(entry("t",
			`"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]`)), ErrShape, "t"},
		{"65 dimensions", file(entry("t", `"dtype":"U8","shape":[`+strings.Repeat("1,", 64)+`1],"data_offsets":[0,1]`),
			0), ErrShape, "t"},
		{"offsets of the wrong size", file(entry("t", `"dtype":"F32","shape":[1],"data_offsets":[0,2]`), 0, 0),
			ErrOffsets, "t"},
		{"offsets reversed", file(entry("t", `"dtype":"U8","shape":[0],"data_offsets":[1,0]`), 0), ErrOffsets, "t"},
		{"negative offset", file(entry("t", `"dtype":"U8","shape":[1],"data_offsets":[-1,0]`), 0), ErrOffsets, "t"},
		{"three offsets", file(entry("t", `"dtype":"U8","shape":[1],"data_offsets":[0,1,2]`), 0), ErrOffsets, "t"},
		{"one offset", file(entry("t", `"dtype":"U8","shape":[1],"data_offsets":[0]`), 0), ErrOffsets, "t"},
		{"hole before the first", file(entry("t", `"dtype":"U8","shape":[1],"data_offsets":[1,2]`), 0, 0), ErrOffsets, "t"},
		{"hole between",
			file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},`+
				`"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 0, 0, 0), ErrOffsets, "b"},
		{"overlap",
			file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},`+
				`"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 0, 0, 0), ErrOffsets, "b"},
		{"same place twice",
			file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},`+
				`"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 0, 0), ErrOffsets, "b"},
		{"empty tensor inside another",
			file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`,
				0, 0), ErrOffsets, "b"},
		{"bytes after the last", file(twoBytes, 0, 0, 0), ErrOffsets, ""},
		{"data without tensors", file("{}", 0), ErrOffsets, ""},
		{"tensor beyond the file", file(twoBytes, 0), ErrTruncated, "t"},
		{"tensor of 2^62 bytes", file(entry("t",
			`"dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,4611686018427387904]`), 0), ErrTruncated, "t"},
	} {
		_, err := readHeader(c.bytes)
		e, ok := errors.AsType[*FormatError](err)
		if !ok || !errors.Is(err, c.want) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
			continue
		}
		if e.File != "test.safetensors" || e.Tensor != c.tensor {
			t.Errorf("%s: the error is about %q in %q, want %q: %v", c.name, e.Tensor, e.File, c.tensor, err)
		}
	}
}

func TestEveryPrefixOfAFileIsRefused(t *testing.T) {
	b := file(`{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},`+
		`"s":{"dtype":"F32","shape":[],"data_offsets":[2,6]}}`, 1, 2, 3, 4, 5, 6)
	if _, err := readHeader(b); err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := readHeader(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", n, len(b))
		}
	}
}

func TestWriterRefusesWhatItCouldNotRead(t *testing.T) {
	stream := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	for _, c := range []struct {
		name    string
		tensors []Tensor
		meta    map[string]string
		want    string
	}{
		{"same name", []Tensor{{Name: "a", DType: U8, Shape: []int{0}}, {Name: "a", DType: U8, Shape: []int{0}}}, nil,
			"more than once"},
		{"no name", []Tensor{{DType: U8, Shape: []int{0}}}, nil, "reserved"},
		{"metadata's name", []Tensor{{Name: metadataKey, DType: U8, Shape: []int{0}}}, nil, "reserved"},
		{"bad UTF-8", []Tensor{{Name: "\xff", DType: U8, Shape: []int{0}}}, nil, "not UTF-8"},
		{"bad metadata", nil, map[string]string{"a": "\xff"}, "not UTF-8"},
		{"no dtype", []Tensor{{Name: "a", Shape: []int{0}}}, nil, "unknown dtype"},
		{"negative dimension", []Tensor{{Name: "a", DType: U8, Shape: []int{-1}}}, nil, "negative"},
		{"overflow", []Tensor{{Name: "a", DType: U8, Shape: []int{1 << 30, 1 << 30, 1 << 30}}}, nil, "overflows"},
		{"short data", []Tensor{{Name: "a", DType: F32, Shape: []int{2}, Data: make([]byte, 7)}}, nil, "takes 8"},
		{"short stream", []Tensor{{Name: "a", DType: F32, Shape: []int{2}, Stream: stream(7)}}, nil, "1 bytes short of 8"},
		{"long stream", []Tensor{{Name: "a", DType: F32, Shape: []int{2}, Stream: stream(9)}}, nil, "more bytes"},
		{"failing stream", []Tensor{{Name: "a", DType: U8, Shape: []int{0},
			Stream: func(io.Writer) error { return io.ErrClosedPipe }}}, nil, "closed pipe"},
	} {
		if err := Write(io.Discard, c.tensors, c.meta); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, got %v", c.name, c.want, err)
		}
	}
}

// A header may declare petabytes; reading it must not allocate much more memory than its
// length.
func TestHeaderMemoryIsBoundedByTheFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("{")
	for i := range 20_000 {
		fmt.Fprintf(&b, `"%d":{"dtype":"U8","shape":[0,%d],"data_offsets":[0,0]},`, i, 1<<30)
	}
	b.WriteString(`"z":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`)
	text := file(b.String(), 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readHeader(text); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / uint64(len(text)); per > 40 {
		t.Errorf("reading a header of %d bytes allocates %d bytes for each", len(text), per)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(file(twoBytes, 1, 2))
	f.Add(file(`{"__metadata__":{"format":"pt"},`+
		`"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},`+
		`"b":{"dtype":"F8_E4M3","shape":[1,2],"data_offsets":[4,6]}}   `, 1, 2, 3, 4, 5, 6))
	f.Add(file("{}"))
	f.Add(file(`{"t":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(b)
		if err != nil {
			if _, ok := errors.AsType[*FormatError](err); !ok {
				t.Fatalf("an unnamed error: %v", err)
			}
			return
		}
		// The tensors of an accepted file lie within it, cover it, and are the same after
		// rewriting it.
		var tensors []Tensor
		covered := h.DataStart
		for _, info := range h.Tensors {
			data := b[h.DataStart+info.Begin : h.DataStart+info.End]
			covered += int64(len(data))
			tensors = append(tensors, Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: data})
		}
		if covered != int64(len(b)) {
			t.Fatalf("tensors and header cover %d of %d bytes", covered, len(b))
		}
		var again bytes.Buffer
		if err := Write(&again, tensors, h.Metadata); err != nil {
			t.Fatal(err)
		}
		back, err := readHeader(again.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h.Metadata, back.Metadata); diff != "" {
			t.Fatal(diff)
		}
		for i, info := range back.Tensors {
			want := h.Tensors[i]
			data := again.Bytes()[back.DataStart+info.Begin : back.DataStart+info.End]
			if info.Name != want.Name || info.DType != want.DType || fmt.Sprint(info.Shape) != fmt.Sprint(want.Shape) ||
				!bytes.Equal(data, b[h.DataStart+want.Begin:h.DataStart+want.End]) {
				t.Fatalf("got %+v, want %+v", info, want)
			}
		}
	})
}
