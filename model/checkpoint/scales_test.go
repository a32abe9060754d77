package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// quantized is a random FP8 tensor with its scales and dequantised values.
type quantized struct {
	code, scale Tensor
	values      []float64 // products of codes and scales, in float64
}

// quantize returns random FP8 codes, which include all finite values, and scales of dtype
// st, for matrices whose parts of the given number of rows have separate blocks.
func quantize(rng *rand.Rand, name string, dt, st DType, shape []int, part int, block [2]int) quantized {
	n := len(shape)
	rows, width := 1, shape[n-1]
	for _, d := range shape[:n-1] {
		rows *= d
	}
	q := quantized{code: Tensor{Name: name, DType: dt, Shape: shape}}
	across, down := (width+block[1]-1)/block[1], (part+block[0]-1)/block[0]
	scales := make([]float64, rows/part*down*across)
	for i := range scales {
		switch st {
		case F8E8M0:
			code := byte(110 + rng.IntN(15))
			scales[i] = math.Ldexp(1, int(code)-127)
			q.scale.Data = append(q.scale.Data, code)
		case BF16:
			bits := uint16(0x3F00 + rng.IntN(0x100))
			scales[i] = float64(math.Float32frombits(uint32(bits) << 16))
			q.scale.Data = binary.LittleEndian.AppendUint16(q.scale.Data, bits)
		default:
			x := float32(math.Exp(rng.NormFloat64() - 5))
			scales[i] = float64(x)
			q.scale.Data = binary.LittleEndian.AppendUint32(q.scale.Data, math.Float32bits(x))
		}
	}
	device := deviceDTypes[dt]
	for i := range rows {
		for j := range width {
			code, x := []byte{0}, math.NaN()
			for math.IsNaN(x) || math.IsInf(x, 0) {
				code[0] = byte(rng.Uint32())
				x = device.Get(code, 0)
			}
			q.code.Data = append(q.code.Data, code[0])
			q.values = append(q.values, x*scales[(i/part*down+i%part/block[0])*across+j/block[1]])
		}
	}
	of := slices.Clone(shape)
	of[n-2], of[n-1] = shape[n-2]/part*down, across
	q.scale.Name, q.scale.DType, q.scale.Shape = name+"_scale_inv", st, of
	return q
}

func loadFrom(t *testing.T, path string, params []*tensor.Param, o LoadOptions) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	unclaimed, err := r.Load(params, o)
	if err != nil || len(unclaimed) > 0 {
		t.Fatal(unclaimed, err)
	}
}

func rounded(x []float64, dt backend.DType) []float64 {
	y := slices.Clone(x)
	for i := range y {
		y[i] = dt.Round(y[i])
	}
	return y
}

// Every value is the product in float64, rounded once to F32 and then to the parameter's
// dtype, whatever the shape of the blocks and the dtypes.
func TestFP8IsMultipliedByTheScalesOfItsBlocks(t *testing.T) {
	const seed = 1
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []struct {
		dt, st DType
		shape  []int
		block  [2]int
	}{
		{F8E4M3, F32, []int{576, 200}, V3Block},
		{F8E4M3, BF16, []int{300, 384}, V3Block},
		{F8E4M3, F8E8M0, []int{130, 129}, V3Block},
		{F8E5M2, F32, []int{1, 1}, V3Block},
		{F8E4M3, F32, []int{700, 700}, V3Block}, // takes several pieces
		{F8E4M3, F32, []int{700, 700}, [2]int{48, 100}},
		{F8E5M2, F8E8M0, []int{700, 701}, [2]int{256, 1}},
	} {
		q := quantize(rng, "w", c.dt, c.st, c.shape, c.shape[0], c.block)
		path := mustWrite(t, []Tensor{q.code, q.scale})
		want := rounded(q.values, backend.F32)
		for _, dt := range []backend.DType{backend.F32, backend.F64} {
			p := newParams(t, dt).Matrix("w", c.shape[0], c.shape[1])
			loadFrom(t, path, []*tensor.Param{p}, LoadOptions{Block: c.block})
			if !slices.Equal(floats(t, p), want) {
				t.Errorf("%v as %s: values differ from the products", c, dt)
			}
		}
		for _, f := range []backend.Format{backend.Native, backend.BFloat16, backend.Q8, backend.Q4} {
			init := tensor.Init{Format: f, Packed: true, Uninitialized: true}
			p := tensor.NewParams(open(t), init).Matrix("w", c.shape[0], c.shape[1])
			loadFrom(t, path, []*tensor.Param{p}, LoadOptions{Block: c.block})
			init.Uninitialized = false
			packed := tensor.NewParams(open(t), init).Matrix("w", c.shape[0], c.shape[1])
			if err := packed.SetFloats(want); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(floats(t, p), floats(t, packed)) {
				t.Errorf("%v as %s: values differ from those packed from the products", c, f)
			}
		}
	}
}

// A parameter packed in FP8 keeps the file's codes and scales, although quantising the
// dequantised values would give others; matrix products use the file's codes and scales.
func TestFP8IsKeptBitForBit(t *testing.T) {
	const seed, rows, width = 2, 300, 200
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	b := open(t)
	init := tensor.Init{Format: backend.FP8, Packed: true, Uninitialized: true}
	for _, st := range scaleDTypes {
		q := quantize(rng, "w", F8E4M3, st, []int{rows, width}, rows, V3Block)
		p := tensor.NewParams(b, init).Matrix("w", rows, width)
		loadFrom(t, mustWrite(t, []Tensor{q.code, q.scale}), []*tensor.Param{p}, LoadOptions{Block: V3Block})
		if !slices.Equal(floats(t, p), rounded(q.values, backend.F32)) {
			t.Errorf("scales of %s: values differ from the products", st)
		}
		scope := tensor.NewScope(b, tensor.Options{})
		defer scope.Close()
		host := make([]float64, 3*width)
		for i := range host {
			host[i] = rng.NormFloat64()
		}
		x := scope.Floats(backend.F32, host, 3, width)
		got, err := (&tensor.Linear{W: p}).Forward(x).Values()
		if err != nil {
			t.Fatal(err)
		}
		if want := product(t, b, q, host, rows, width); !slices.Equal(got, want) {
			t.Errorf("scales of %s: a product differs from that with the file's codes and scales", st)
		}
	}
}

// product returns x·W for the file's codes and scales, computed by the backend's own
// product with such a matrix.
func product(t *testing.T, b backend.Backend, q quantized, x []float64, rows, width int) []float64 {
	t.Helper()
	upload := func(dt backend.DType, data []byte, shape ...int) backend.View {
		buf, err := b.Alloc(len(data))
		if err == nil {
			err = b.Upload(buf, 0, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		return backend.NewView(buf, dt, shape...)
	}
	f32 := func(x []float64) []byte {
		mem := make([]byte, 4*len(x))
		for i := range x {
			backend.F32.Put(mem, i, x[i])
		}
		return mem
	}
	scales := appendF32(nil, appendScales(nil, q.scale.DType, q.scale.Data))
	c := upload(backend.F32, make([]byte, 4*len(x)/width*rows), len(x)/width, rows)
	err := b.Do(&backend.MatMul{
		C: c, A: upload(backend.F32, f32(x), len(x)/width, width),
		B: backend.Matrix{
			Data:  upload(backend.E4M3, q.code.Data, rows, width).T(),
			Scale: upload(backend.F32, scales, q.scale.Shape...).T(), Format: backend.FP8,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	y, err := backend.Values(b, c)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// transformers stacks experts in memory, and can save them stacked.
func TestStackedExpertsAreRead(t *testing.T) {
	const seed, experts, hidden = 3, 3, 140
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, inner := range []int{128, 136} { // with 136, gate and up have partial blocks
		for _, dt := range []DType{F32, F8E4M3} {
			for _, f := range []backend.Format{backend.Native, backend.FP8} {
				up := quantize(rng, "l.experts.gate_up_proj", F8E4M3, F32, []int{experts, 2 * inner, hidden}, inner, V3Block)
				down := quantize(rng, "l.experts.down_proj", F8E4M3, F32, []int{experts, hidden, inner}, hidden, V3Block)
				files := []Tensor{up.code, up.scale, down.code, down.scale}
				if dt == F32 {
					files = nil
					for _, q := range []quantized{up, down} {
						x := Tensor{Name: q.code.Name, DType: F32, Shape: q.code.Shape}
						for _, v := range q.values {
							x.Data = binary.LittleEndian.AppendUint32(x.Data, math.Float32bits(float32(v)))
						}
						files = append(files, x)
					}
				}
				init := tensor.Init{Format: f, Packed: true}
				want := tensor.NewParams(open(t), init)
				init.Uninitialized = true
				got := tensor.NewParams(open(t), init)
				for _, ps := range []*tensor.Params{got, want} {
					ps.Stack("l.experts.*.gate_proj.weight", experts, inner, hidden)
					ps.Stack("l.experts.*.up_proj.weight", experts, inner, hidden)
					ps.Stack("l.experts.*.down_proj.weight", experts, hidden, inner)
				}
				loadFrom(t, mustWrite(t, files), got.All(), LoadOptions{})
				values := [3][]float64{2: down.values}
				for e := range 2 * experts {
					values[e%2] = append(values[e%2], up.values[e*inner*hidden:][:inner*hidden]...)
				}
				for i, p := range want.All() {
					v := rounded(values[i], backend.F32)
					if f == backend.FP8 && dt == F32 { // the parameter quantises it again
						if err := p.SetFloats(v); err != nil {
							t.Fatal(err)
						}
						v = floats(t, p)
					}
					if !slices.Equal(floats(t, got.All()[i]), v) {
						t.Errorf("inner size %d of %s as %s: %s differs", inner, dt, f, p.Name)
					}
				}
			}
		}
	}
}

func TestScalesThatDoNotFitAreRefusedByName(t *testing.T) {
	weight := func(dt DType, shape ...int) Tensor {
		n := dt.Size()
		for _, d := range shape {
			n *= d
		}
		return Tensor{Name: "w", DType: dt, Shape: shape, Data: make([]byte, n)}
	}
	scale := func(name string, dt DType, shape ...int) Tensor {
		s := weight(dt, shape...)
		s.Name = name
		return s
	}
	block := LoadOptions{Block: V3Block}
	for _, c := range []struct {
		name  string
		files []Tensor
		o     LoadOptions
		want  error
	}{
		{"rows", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 1, 1)}, block, ErrShape},
		{"columns", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 2, 2)}, block, ErrShape},
		{"transposed", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 1, 2)}, block, ErrShape},
		{"other blocks", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 2, 1)},
			LoadOptions{Block: [2]int{64, 64}}, ErrShape},
		{"default blocks", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 3, 1)}, LoadOptions{}, ErrShape},
		{"one a row", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 130, 1)}, block, ErrShape},
		{"scalar", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32)}, block, ErrScaled},
		{"vector of one", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F32, 1)}, block, ErrScaled},
		{"scale of the tensor", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale", F32, 1)}, LoadOptions{}, ErrScaled},
		{"both", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale", F32, 1), scale("w_scale_inv", F32, 2, 1)}, block,
			ErrScaled},
		{"of BF16", []Tensor{weight(BF16, 130, 3), scale("w_scale_inv", F32, 2, 1)}, block, ErrScaled},
		{"F64", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", F64, 2, 1)}, block, ErrDType},
		{"bytes", []Tensor{weight(F8E4M3, 130, 3), scale("w_scale_inv", U8, 2, 1)}, block, ErrDType},
		{"missing", []Tensor{weight(F8E4M3, 130, 3)}, block, ErrMissing},
		{"a weight of scales", []Tensor{weight(F8E8M0, 130, 3)}, LoadOptions{}, ErrDType},
	} {
		ps := newParams(t, backend.F32)
		p := ps.Matrix("w", 130, 3)
		before := floats(t, p)
		r, err := Open(mustWrite(t, c.files))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Load(ps.All(), c.o)
		var fault *FormatError
		if !errors.Is(err, c.want) || !errors.As(err, &fault) || fault.Tensor != "w" {
			t.Errorf("%s: %v", c.name, err)
		}
		if checked := r.Check(ps.All(), c.o); fmt.Sprint(checked) != fmt.Sprint(err) {
			t.Errorf("%s: Check has the error %v, Load %v", c.name, checked, err)
		}
		if !slices.Equal(floats(t, p), before) {
			t.Errorf("%s: values were overwritten", c.name)
		}
		r.Close()
	}
}

// A scale that is NaN affects its own block only.
func TestScalesOfE8M0ArePowersOfTwo(t *testing.T) {
	got := appendScales(nil, F8E8M0, []byte{0, 1, 127, 128, 254, 255})
	want := []float64{-127, -126, 0, 1, 127}
	for i, e := range want {
		if float64(got[i]) != math.Ldexp(1, int(e)) {
			t.Errorf("scale %d is %g, want 2^%g", i, got[i], e)
		}
	}
	if !math.IsNaN(float64(got[5])) {
		t.Errorf("code 255 is %g, want NaN", got[5])
	}
}
