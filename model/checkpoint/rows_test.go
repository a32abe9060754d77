package checkpoint

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// memRows are rows whose values are in memory.
func memRows(name string, x []float32, shape ...int) Rows {
	width := 1
	if len(shape) > 0 {
		width = shape[len(shape)-1]
	}
	return Rows{name, tensor.KindOther, shape, func(first int, dst []float32) error {
		copy(dst, x[first*width:])
		return nil
	}}
}

// readAll returns all values of a tensor.
func readAll(t *testing.T, r *Reader, name string) []float32 {
	t.Helper()
	rows, err := r.Rows(name, [2]int{})
	if err != nil {
		t.Fatal(err)
	}
	var all []float32
	if err := rows.Each(1, func(_ int, x []float32) error {
		all = append(all, x...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func writeRows(t *testing.T, tensors ...Tensor) *Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), SingleFile)
	var b bytes.Buffer
	if err := Write(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func randomValues(t *testing.T, n int) []float32 {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp(2*r.NormFloat64()))
	}
	return x
}

func TestRowsRoundToEveryDType(t *testing.T) {
	x := randomValues(t, 6*700)
	for dt, device := range deviceDTypes {
		if !device.IsFloat() || dt == F8E4M3 {
			continue
		}
		r := writeRows(t, memRows("w", x, 2, 3, 700).As(dt)...)
		info, _ := r.Lookup("w")
		if info.DType != dt || !slices.Equal(info.Shape, []int{2, 3, 700}) {
			t.Errorf("%s: %v", dt, info)
		}
		for i, got := range readAll(t, r, "w") {
			if want := float32(device.Round(float64(x[i]))); got != want {
				t.Fatalf("%s: element %d is %v, want %v", dt, i, got, want)
			}
		}
	}
	r := writeRows(t, memRows("scalar", []float32{3}).As(BF16)[0])
	if got := readAll(t, r, "scalar"); !slices.Equal(got, []float32{3}) {
		t.Errorf("scalar %v", got)
	}
}

// Each block of 128×128, including partial blocks at the edges, has the scale of its
// largest element, as backend.FP8 defines it.
func TestRowsAsFP8HaveBlockScales(t *testing.T) {
	const n, k = 300, 200
	x := randomValues(t, n*k)
	for i := range 128 { // a block of zeros
		clear(x[i*k:][128:k])
	}
	r := writeRows(t, memRows("w", x, n, k).As(F8E4M3)...)
	scale, _ := r.Lookup("w_scale_inv")
	if scale.DType != F32 || !slices.Equal(scale.Shape, []int{3, 2}) {
		t.Fatalf("scales %v", scale)
	}
	scales, err := r.Read("w_scale_inv")
	if err != nil {
		t.Fatal(err)
	}
	got := readAll(t, r, "w")
	for p := 0; p < n; p += 128 {
		for q := 0; q < k; q += 128 {
			most := float32(0)
			for i := p; i < min(p+128, n); i++ {
				for j := q; j < min(q+128, k); j++ {
					most = max(most, float32(math.Abs(float64(x[i*k+j]))))
				}
			}
			s := float32(1)
			if most > 0 {
				s = most / 448
			}
			if stored := float32(backend.F32.Get(scales, p/128*2+q/128)); stored != s {
				t.Errorf("block %d, %d: scale %v, want %v", p, q, stored, s)
			}
			for i := p; i < min(p+128, n); i++ {
				for j := q; j < min(q+128, k); j++ {
					if want := float32(backend.E4M3.Round(float64(x[i*k+j]/s))) * s; got[i*k+j] != want {
						t.Fatalf("element %d, %d is %v, want %v", i, j, got[i*k+j], want)
					}
				}
			}
		}
	}
}

// Values that came from FP8 do not change when they are converted to FP8 again, whatever
// computed the scales.
func TestFP8OfFP8IsExact(t *testing.T) {
	const n, k = 260, 140
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		codes := make([]byte, n*k)
		most := byte(g.IntN(0x7e) + 1)
		for i := range codes {
			codes[i] = byte(g.IntN(int(most)+1)) | byte(g.IntN(2))<<7
		}
		scales := make([]byte, 4*3*2)
		for i := range 6 {
			s := math.Exp(4 * g.NormFloat64())
			if g.IntN(2) == 0 {
				s = math.Exp2(math.Round(math.Log2(s))) // a power of two, as in ue8m0
			}
			backend.F32.Put(scales, i, s)
		}
		r := writeRows(t, Tensor{Name: "w", DType: F8E4M3, Shape: []int{n, k}, Data: codes},
			Tensor{Name: "w_scale_inv", DType: F32, Shape: []int{3, 2}, Data: scales})
		rows, err := r.Rows("w", [2]int{})
		if err != nil {
			t.Fatal(err)
		}
		if want, got := readAll(t, r, "w"), readAll(t, writeRows(t, rows.As(F8E4M3)...), "w"); !slices.Equal(got, want) {
			t.Fatalf("largest code %#x: values changed", most)
		}
	}
}

func TestRowsRefuseWhatTheyCannotRead(t *testing.T) {
	matrix := func(scales ...Tensor) *Reader {
		return writeRows(t, append(scales, Tensor{Name: "w", DType: F8E4M3, Shape: []int{2, 3}, Data: make([]byte, 6)},
			Tensor{Name: "i", DType: I64, Shape: []int{1}, Data: make([]byte, 8)})...)
	}
	four := make([]byte, 4)
	for _, c := range []struct {
		r    *Reader
		name string
		want error
	}{
		{matrix(), "none", ErrMissing},
		{matrix(), "i", ErrDType},
		{matrix(Tensor{Name: "w_scale", DType: F32, Shape: []int{1}, Data: four}), "w", ErrScaled},
		{matrix(Tensor{Name: "w_scale_inv", DType: F32, Shape: []int{1}, Data: four}), "w", ErrScaled},
		{matrix(Tensor{Name: "w_scale_inv", DType: F32, Shape: []int{1, 2}, Data: make([]byte, 8)}), "w", ErrShape},
		{matrix(Tensor{Name: "w_scale_inv", DType: I32, Shape: []int{1, 1}, Data: four}), "w", ErrDType},
	} {
		if _, err := c.r.Rows(c.name, [2]int{}); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	var b bytes.Buffer
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		err := Write(&b, memRows("w", []float32{1, bad, 2, 3}, 2, 2).As(F8E4M3), nil)
		if err == nil || !strings.Contains(err.Error(), `"w_scale_inv"`) || !strings.Contains(err.Error(), "quantised") {
			t.Errorf("%v: error %v", bad, err)
		}
	}
}

// Blocks have the size that the config gives, and FP8 without scales is then an error.
func TestRowsTakeTheBlocksOfTheConfig(t *testing.T) {
	codes := make([]byte, 5*3)
	for i := range codes {
		codes[i] = 0x38 // 1
	}
	scales := make([]byte, 4*3*2)
	for i := range 6 {
		backend.F32.Put(scales, i, float64(i+1))
	}
	w := Tensor{Name: "w", DType: F8E4M3, Shape: []int{5, 3}, Data: codes}
	r := writeRows(t, w, Tensor{Name: "w_scale_inv", DType: F32, Shape: []int{3, 2}, Data: scales})
	rows, err := r.Rows("w", [2]int{2, 2})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 4*3)
	if err := rows.Read(1, got); err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, 1, 2, 3, 3, 4, 3, 3, 4, 5, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("rows 1 to 4 are %v, want %v", got, want)
	}
	if _, err := r.Rows("w", [2]int{4, 2}); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if _, err := writeRows(t, w).Rows("w", V3Block); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}
