package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
	"github.com/aha-go/aha/backend/tensor"
)

func open(t *testing.T) backend.Backend {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func newParams(t *testing.T, dt backend.DType) *tensor.Params {
	return tensor.NewParams(open(t), tensor.Init{Seed: 1, DType: dt})
}

// newParam returns a parameter "w" of any dtype.
func newParam(t *testing.T, dt backend.DType, n int) *tensor.Param {
	t.Helper()
	p, err := tensor.NewParam(newParams(t, backend.F32).Backend(), "w", dt, n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustWrite(t *testing.T, tensors []Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), SingleFile)
	if err := WriteAtomic(path, func(w io.Writer) error { return Write(w, tensors, nil) }); err != nil {
		t.Fatal(err)
	}
	return path
}

func floats(t *testing.T, p *tensor.Param) []float64 {
	t.Helper()
	x, err := p.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// count fills p with 0, 1, 2, …
func count(t *testing.T, p *tensor.Param) {
	t.Helper()
	x := make([]float64, p.Len())
	for i := range x {
		x[i] = float64(i)
	}
	if err := p.SetFloats(x); err != nil {
		t.Fatal(err)
	}
}

func littleEndian(values ...any) []byte {
	var b []byte
	for _, v := range values {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return b
}

func TestExpertsOfAStackAreTensorsOfTheirOwn(t *testing.T) {
	ps := newParams(t, backend.F32)
	stack := ps.Stack("model.layers.3.mlp.experts.*.up_proj.weight", 12, 2, 3)
	norm := ps.Gain("model.norm.weight", 4)
	count(t, stack)
	path := mustWrite(t, Tensors(ps.All()))
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for _, info := range r.Tensors() {
		names = append(names, fmt.Sprint(info.Name, info.DType, info.Shape))
	}
	var want []string
	for e := range 12 {
		want = append(want, fmt.Sprintf("model.layers.3.mlp.experts.%d.up_proj.weightF32[2 3]", e))
	}
	slices.Sort(want)
	want = append(want, "model.norm.weightF32[4]")
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	seventh, err := r.Read("model.layers.3.mlp.experts.7.up_proj.weight")
	if want := littleEndian(float32(42), float32(43), float32(44), float32(45), float32(46),
		float32(47)); err != nil || string(seventh) != string(want) {
		t.Errorf("expert 7 is %v, %v", seventh, err)
	}
	saved := floats(t, stack)
	for _, p := range ps.All() {
		if err := p.SetFloats(make([]float64, p.Len())); err != nil {
			t.Fatal(err)
		}
	}
	version := stack.Version()
	unclaimed, err := Load(path, ps.All())
	if err != nil || len(unclaimed) != 0 {
		t.Fatal(unclaimed, err)
	}
	if !slices.Equal(floats(t, stack), saved) || !slices.Equal(floats(t, norm), []float64{1, 1, 1, 1}) {
		t.Error("values changed on the way through a file")
	}
	if stack.Version() == version {
		t.Error("packed copies of the old weights are still considered current")
	}
}

func TestLongTensorsKeepEveryBit(t *testing.T) {
	const n = 2*chunkElements + 5 // takes three pieces
	for _, dt := range []backend.DType{backend.F32, backend.F64} {
		ps := newParams(t, dt)
		m := ps.Matrix("w", 1, n)
		saved := floats(t, m)
		path := mustWrite(t, Tensors(ps.All()))
		if err := m.SetFloats(make([]float64, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, ps.All()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(floats(t, m), saved) {
			t.Errorf("%s: values changed", dt)
		}
	}
}

func TestOtherFloatTypesAreConverted(t *testing.T) {
	third := 1.0 / 3
	cases := []struct {
		dt   DType
		data []byte
		want []float64
	}{
		{F64, littleEndian(third, -0.5, 1e10), []float64{third, -0.5, 1e10}},
		{F32, littleEndian(float32(third), float32(-0.5), float32(3e38)), []float64{float64(float32(third)), -0.5,
			float64(float32(3e38))}},
		{BF16, littleEndian(uint16(0x3F80), uint16(0xC049), uint16(0x0001)), []float64{1, -3.140625, math.Ldexp(1, -133)}},
		// one third, the largest, the smallest subnormal
		{F16, littleEndian(uint16(0x3555), uint16(0xFBFF), uint16(0x0001)), []float64{0.333251953125, -65504,
			math.Ldexp(1, -24)}},
		{F16, littleEndian(uint16(0x7C00), uint16(0xFC00), uint16(0x0400)), []float64{math.Inf(1), math.Inf(-1),
			math.Ldexp(1, -14)}},
		// 1.125, the largest, the smallest subnormal
		{F8E4M3, []byte{0x39, 0xFE, 0x01}, []float64{1.125, -448, math.Ldexp(1, -9)}},
		{F8E5M2, []byte{0x3D, 0xFB, 0x01}, []float64{1.25, -57344, math.Ldexp(1, -16)}},
	}
	for _, c := range cases {
		for _, dt := range []backend.DType{backend.F32, backend.F64, backend.BF16} {
			p := newParam(t, dt, 3)
			path := mustWrite(t, []Tensor{{Name: "w", DType: c.dt, Shape: []int{3}, Data: c.data}})
			if _, err := Load(path, []*tensor.Param{p}); err != nil {
				t.Fatal(err)
			}
			want := slices.Clone(c.want)
			for i, x := range want {
				want[i] = dt.Round(x)
			}
			if got := floats(t, p); !slices.Equal(got, want) {
				t.Errorf("%s to %s: %v, want %v", c.dt, dt, got, want)
			}
		}
	}
}

func TestLongTensorsAreConvertedPieceByPiece(t *testing.T) {
	const n = 2*chunkElements + 5 // takes three pieces
	data := make([]byte, 2*n)
	want := make([]float64, n)
	for i := range want {
		backend.F16.Put(data, i, float64(i%4099)/8-200)
		want[i] = backend.F16.Get(data, i)
	}
	p := newParam(t, backend.F32, n)
	path := mustWrite(t, []Tensor{{Name: "w", DType: F16, Shape: []int{n}, Data: data}})
	if _, err := Load(path, []*tensor.Param{p}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(floats(t, p), want) {
		t.Error("values changed")
	}
}

// The experts of a stack are views into one buffer.
func TestExpertsAreConvertedIntoTheirPlace(t *testing.T) {
	ps := newParams(t, backend.F32)
	stack := ps.Stack("e.*", 3, 1, 2)
	var files []Tensor
	for e := range byte(3) {
		files = append(files, Tensor{Name: fmt.Sprintf("e.%d", e), DType: F8E4M3, Shape: []int{1, 2},
			Data: []byte{0x38 + e, 0xB8 + e}})
	}
	if _, err := Load(mustWrite(t, files), ps.All()); err != nil {
		t.Fatal(err)
	}
	if got := floats(t, stack); !slices.Equal(got, []float64{1, -1, 1.125, -1.125, 1.25, -1.25}) {
		t.Errorf("%v", got)
	}
}

func TestParametersOfEveryDTypeAreSavedAsTheyAre(t *testing.T) {
	for dt, file := range map[backend.DType]DType{
		backend.F32: F32, backend.F64: F64, backend.BF16: BF16, backend.F16: F16, backend.E4M3: F8E4M3, backend.E5M2: F8E5M2,
	} {
		p, back := newParam(t, dt, 3), newParam(t, backend.F64, 3)
		values := Tensor{Name: "w", DType: F64, Shape: []int{3}, Data: littleEndian(1.5, -0.25, 448.0)}
		if _, err := Load(mustWrite(t, []Tensor{values}), []*tensor.Param{p}); err != nil {
			t.Fatal(err)
		}
		path := mustWrite(t, Tensors([]*tensor.Param{p}))
		if _, err := Load(path, []*tensor.Param{back}); err != nil {
			t.Fatal(err)
		}
		if got := floats(t, back); !slices.Equal(got, []float64{1.5, -0.25, 448}) {
			t.Errorf("%s: %v", dt, got)
		}
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if info, _ := r.Lookup("w"); info.DType != file {
			t.Errorf("%s is saved as %s, want %s", dt, info.DType, file)
		}
	}
}

func TestWhatDoesNotFitIsRefusedByNameBeforeAnythingChanges(t *testing.T) {
	good := Tensor{Name: "a", DType: F32, Shape: []int{2}, Data: littleEndian(float32(8), float32(9))}
	cases := []struct {
		name   string
		second []Tensor
		want   error
	}{
		{"missing", nil, ErrMissing},
		{"transposed", []Tensor{{Name: "e.0", DType: F32, Shape: []int{3, 2}, Data: make([]byte, 24)}}, ErrShape},
		{"flat", []Tensor{{Name: "e.0", DType: F32, Shape: []int{6}, Data: make([]byte, 24)}}, ErrShape},
		{"scaled as a whole", []Tensor{
			{Name: "e.0", DType: F8E5M2, Shape: []int{2, 3}, Data: make([]byte, 6)},
			{Name: "e.0_scale", DType: BF16, Shape: []int{1}, Data: make([]byte, 2)},
		}, ErrScaled},
		{"integers", []Tensor{{Name: "e.0", DType: I32, Shape: []int{2, 3}, Data: make([]byte, 24)}}, ErrDType},
	}
	for _, c := range cases {
		ps := newParams(t, backend.F32)
		a := ps.Gain("a", 2)
		e := ps.Stack("e.*", 1, 2, 3)
		before := floats(t, e)
		_, err := Load(mustWrite(t, append(c.second, good)), ps.All())
		var fault *FormatError
		if !errors.Is(err, c.want) || !errors.As(err, &fault) || fault.Tensor != "e.0" {
			t.Errorf("%s: %v", c.name, err)
		}
		if !slices.Equal(floats(t, a), []float64{1, 1}) || !slices.Equal(floats(t, e), before) {
			t.Errorf("%s: values were overwritten", c.name)
		}
	}
}

func TestAWhollyWrongFileGivesAReadableError(t *testing.T) {
	ps := newParams(t, backend.F32)
	ps.Stack("model.layers.0.mlp.experts.*.up_proj.weight", 300, 1, 1)
	_, err := Load(mustWrite(t, nil), ps.All())
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "299 tensors more") {
		t.Errorf("%v", err)
	}
}

func TestUnclaimedTensorsAreListedAndCanBeKept(t *testing.T) {
	ps := newParams(t, backend.F32)
	ps.Gain("model.norm.weight", 2)
	scale := Tensor{Name: "model.layers.61.eh_proj.weight_scale_inv", DType: BF16, Shape: []int{1, 2}, Data: []byte{1,
		2, 3, 4}}
	path := mustWrite(t, append(Tensors(ps.All()), scale))
	unclaimed, err := Load(path, ps.All())
	if err != nil || !slices.Equal(unclaimed, []string{scale.Name}) {
		t.Fatal(unclaimed, err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	kept, err := r.Verbatim(unclaimed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(mustWrite(t, append(Tensors(ps.All()), kept...)))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if b, err := again.Read(scale.Name); err != nil || string(b) != string(scale.Data) {
		t.Errorf("kept tensor is %v, %v", b, err)
	}
	if _, err := r.Verbatim([]string{"absent"}); err == nil {
		t.Error("kept a tensor that is not there")
	}
}
