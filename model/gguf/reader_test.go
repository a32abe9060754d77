package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func openTypes(t *testing.T) *Reader {
	t.Helper()
	r, err := Open(filepath.Join("testdata", "types.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestMetadataHasEveryTypeOfValue(t *testing.T) {
	r := openTypes(t)
	want := Metadata{
		{"general.architecture", "test"},
		{"value.u8", uint8(200)}, {"value.i8", int8(-100)}, {"value.u16", uint16(60000)}, {"value.i16", int16(-30000)},
		{"value.u32", uint32(4e9)}, {"value.i32", int32(-2e9)}, {"value.u64", uint64(1<<63 + 5)},
		{"value.i64", int64(-1 << 62)}, {"value.f32", float32(0.5)}, {"value.f64", 0.1}, {"value.bool", true},
		{"value.string", "Grüße 🙂"},
		{"array.string", []string{"a", "", "汉字"}}, {"array.int", []int32{1, -2, 3}},
		{"array.float", []float32{0.5, -1.5}}, {"array.bool", []bool{true, false}},
	}
	if r.Version != 3 || !reflect.DeepEqual(r.Metadata, want) {
		t.Fatalf("version %d, metadata %v, want %v", r.Version, r.Metadata, want)
	}
}

func TestTensorsDequantizeAsTheReferenceDoes(t *testing.T) {
	r := openTypes(t)
	want, err := os.ReadFile(filepath.Join("testdata", "types.f32"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, info := range r.Tensors {
		names = append(names, info.Name)
	}
	slices.Sort(names)
	if len(names) != len(types)+2 {
		t.Fatalf("tensors %v, want one of each of %d types and two more", names, len(types))
	}
	for _, name := range names {
		info, _ := r.Find(name)
		data := make([]byte, info.Bytes)
		if err := r.ReadAt(info, data, 0); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, info.Shape[0]*info.Shape[1])
		info.Type.Dequantize(got, data)
		for i, v := range got {
			if w := binary.LittleEndian.Uint32(want[4*i:]); w != math.Float32bits(v) {
				t.Fatalf("%s: element %d is %v, want %v", info.Type, i, v, math.Float32frombits(w))
			}
		}
		want = want[4*len(got):]
	}
	if len(want) != 0 {
		t.Errorf("%d bytes of the reference are left", len(want))
	}
	if _, ok := r.Find("f64"); ok {
		t.Error("found a tensor that is not there")
	}
}

func TestQuantizeRoundsAsTheReferenceDoes(t *testing.T) {
	r := openTypes(t)
	floats, _ := r.Find("f32")
	x := make([]float32, floats.Shape[0]*floats.Shape[1])
	if err := r.ReadRows(floats, 0, x); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]Type{"f32": F32, "f32_as_f16": F16, "f32_as_q8_0": Q8_0} {
		info, _ := r.Find(name)
		want, got := make([]byte, info.Bytes), make([]byte, info.Bytes)
		if err := r.ReadAt(info, want, 0); err != nil {
			t.Fatal(err)
		}
		if err := kind.Quantize(got, x); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", name, err, got, want)
		}
	}
	bad := make([]float32, 32)
	for _, bad[3] = range []float32{1e38, float32(math.NaN()), float32(math.Inf(1))} {
		wantError(t, "Q8_0", Q8_0.Quantize(make([]byte, 34), bad), ErrValue)
	}
	wantError(t, "F16", F16.Quantize(make([]byte, 64), append(bad[:31], 65520)), ErrValue)
}

func TestIntegersOfAnyTypeAreInts(t *testing.T) {
	m := openTypes(t).Metadata
	for key, want := range map[string]int{
		"value.u8": 200, "value.i8": -100, "value.u16": 60000, "value.i16": -30000, "value.u32": 4e9, "value.i32": -2e9,
		"value.i64": -1 << 62,
	} {
		if got, err := m.Int(key); got != want || err != nil {
			t.Errorf("%s is %d, %v, want %d", key, got, err, want)
		}
	}
	if got, err := m.Ints("array.int"); err != nil || !slices.Equal(got, []int{1, -2, 3}) {
		t.Errorf("array.int is %v, %v", got, err)
	}
	if got, err := m.Ints("value.u8"); err != nil || !slices.Equal(got, []int{200}) {
		t.Errorf("value.u8 is %v, %v", got, err)
	}
	for _, key := range []string{"value.u64", "value.f32", "value.bool", "array.int"} {
		_, err := m.Int(key)
		wantError(t, key, err, ErrValue)
	}
	_, err := m.Int("none")
	wantError(t, "none", err, ErrMissing)
	_, err = Value[string](m, "value.u8")
	wantError(t, "value.u8 as a string", err, ErrValue)
}
