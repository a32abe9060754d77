package tensor_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// ramp returns n numbers that Q8 does not represent exactly.
func ramp(n int, from float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = from + math.Sin(float64(i))
	}
	return x
}

// packedQ8 returns a packed matrix [20, 64] in format Q8, without a master value.
func packedQ8(t *testing.T) *tensor.Param {
	t.Helper()
	ps := tensor.NewParams(open(t), tensor.Init{Seed: 1, Format: backend.Q8, Packed: true})
	t.Cleanup(ps.Free)
	p := ps.Matrix("w", 20, 64)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPackedParameterRefusesWhatNeedsItsMaster(t *testing.T) {
	p := packedQ8(t)
	b := p.Backend()
	const want = "tensor: parameter w is packed as q8"
	mustPanic(t, want, func() { p.Value() })
	if _, err := p.Grad(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Grad: error %v", err)
	}
	s := tensor.NewScope(b, tensor.Options{})
	defer s.Close()
	x := s.Floats(backend.F32, ramp(64, 0), 1, 64)
	mustPanic(t, want, func() { p.In(s) })
	training := tensor.NewScope(b, tensor.Options{Grad: true})
	defer training.Close()
	p.Trainable = true
	mustPanic(t, want, func() {
		tensor.LogProbs(training.Floats(backend.F32, ramp(64, 0), 1, 64), p, training.Ints([]int32{3}, 1), 1)
	})
	p.Trainable = false

	other := tensor.NewParams(b, tensor.Init{Format: backend.Q8})
	defer other.Free()
	other.Matrix("w", 20, 64)
	if err := other.Get("w").Pack(); err != nil {
		t.Fatal(err)
	}
	if err := other.CopyFrom(other); err == nil || !strings.Contains(err.Error(), "copy w: the source is packed as q8") {
		t.Errorf("CopyFrom of a packed source: error %v", err)
	}
	p.Format = backend.Q4
	mustPanic(t, "tensor: parameter w is packed as q8, but its format is now q4", func() { tensor.Logits(x, p) })
}

func TestPackedParameterTakesNewValues(t *testing.T) {
	p := packedQ8(t)
	values := ramp(p.Len(), 0.5)
	near := func(what string, want []float64) {
		t.Helper()
		for i, x := range floats(t, p) {
			if math.Abs(x-want[i]) > 1.5/254*1.01 {
				t.Fatalf("%s: element %d is %g, want %g", what, i, x, want[i])
			}
		}
	}
	version := p.Version()
	if err := p.SetFloats(values); err != nil {
		t.Fatal(err)
	}
	near("SetFloats", values)
	if p.Version() == version {
		t.Error("SetFloats did not change the version")
	}
	p.Touch()
	if err := p.Pack(); err != nil {
		t.Errorf("Pack again: %v", err)
	}
	if err := tensor.Repack([]*tensor.Param{p}); err != nil {
		t.Errorf("Repack: %v", err)
	}
	if err := p.ZeroGrad(); err != nil {
		t.Errorf("ZeroGrad: %v", err)
	}
	near("after Touch, Pack and Repack", values)

	// The master values of a trainer reach the packed parameters of a rollout.
	src, dst := tensor.NewParams(p.Backend(), tensor.Init{Seed: 7, Std: 0.3}), tensor.NewParams(p.Backend(),
		tensor.Init{Seed: 8, Format: backend.Q8, Packed: true})
	defer src.Free()
	defer dst.Free()
	src.Stack("e.*.w", 3, 20, 64)
	p = dst.Stack("e.*.w", 3, 20, 64)
	if err := dst.CopyFrom(src); err != nil {
		t.Fatal(err)
	}
	near("CopyFrom", floats(t, src.Get("e.*.w")))
}

func TestGradientsThroughAPackedHeadAreRefusedByItsName(t *testing.T) {
	ps := tensor.NewParams(open(t), tensor.Init{Seed: 1, Tables: backend.BFloat16, Packed: true})
	defer ps.Free()
	head, rows := ps.Table("head", 20, 64), ps.FullPrecision("rows", 3, 64)
	s := tensor.NewScope(ps.Backend(), tensor.Options{Grad: true})
	defer s.Close()
	logProb, _ := tensor.LogProbs(rows.In(s), head, s.Ints([]int32{1, 2, 3}, 3), 1)
	mustPanic(t, "tensor: parameter head is packed as bf16: it cannot be trained, nor be the head",
		func() { s.Backward(tensor.Sum(logProb)) })
}

// A parameter with a master value in a ForwardOnly format must not be used without
// rounding, nor with the gradients of a different product.
func TestForwardOnlyFormatsWithMastersAreRefusedWhereTheyCannotWork(t *testing.T) {
	for _, f := range backend.Formats() {
		if !f.ForwardOnly {
			continue
		}
		ps := tensor.NewParams(open(t), tensor.Init{Seed: 1, Format: f, Tables: f})
		w, stack, table := ps.Matrix("w", 20, 64), ps.Stack("e.*", 2, 20, 64), ps.Table("t", 20, 64)
		rows := ps.FullPrecision("rows", 3, 64)
		for _, trainable := range []bool{true, false} {
			w.Trainable, stack.Trainable, table.Trainable = trainable, trainable, trainable
			for _, c := range []struct {
				want    string
				forward func(x, ids, offsets tensor.Tensor) tensor.Tensor
			}{
				{"tensor: parameter w: products in format %s have no backward", func(x, _, _ tensor.Tensor) tensor.Tensor {
					return (&tensor.Linear{W: w}).Forward(x)
				}},
				{"tensor: parameter e.*: products in format %s have no backward", func(x, _, offsets tensor.Tensor) tensor.Tensor {
					return tensor.GroupedLinear(x, stack, offsets)
				}},
				{"tensor: parameter t: products in format %s have no backward", func(x, ids, _ tensor.Tensor) tensor.Tensor {
					y, _ := tensor.LogProbs(x, table, ids, 1)
					return y
				}},
				{"tensor: Embedding: t in format %s: want it packed", func(_, ids, _ tensor.Tensor) tensor.Tensor {
					return tensor.Embedding(table, ids, backend.F32)
				}},
			} {
				s := tensor.NewScope(ps.Backend(), tensor.Options{Grad: true})
				ids, offsets := s.Ints([]int32{1, 2, 3}, 3), s.Ints([]int32{0, 1, 3}, 3)
				mustPanic(t, fmt.Sprintf(c.want, f), func() { s.Backward(tensor.Sum(c.forward(rows.In(s), ids, offsets))) })
				s.Close()
			}
		}
		ps.Free()
	}
}

func TestFormatMustNotChangeAfterPacking(t *testing.T) {
	ps := tensor.NewParams(open(t), tensor.Init{Seed: 1, Format: backend.BFloat16})
	defer ps.Free()
	p := ps.Matrix("w", 20, 64)
	s := tensor.NewScope(p.Backend(), tensor.Options{})
	defer s.Close()
	x := s.Floats(backend.F32, ramp(64, 0), 1, 64)
	before, err := tensor.Logits(x, p).Values()
	if err != nil {
		t.Fatal(err)
	}
	p.Format = backend.Native
	mustPanic(t, "tensor: parameter w is packed as bf16, but its format is now native", func() { tensor.Logits(x, p) })
	p.Format = backend.BFloat16
	after, err := tensor.Logits(x, p).Values()
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("%v, error %v, want %v", after, err, before)
	}
}

// Lookups and log-probabilities use the values of the packed table, in every format.
func TestPackedTableIsLookedUpAndScoredAsItsValues(t *testing.T) {
	b := open(t)
	for _, f := range backend.Formats() {
		ps := tensor.NewParams(b, tensor.Init{Seed: 1, Std: 0.3, Tables: f, Packed: true})
		p := ps.Table("w", 40, 64)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		if p.Packed() != (f != backend.Native) {
			t.Errorf("%s: packed %t", f, p.Packed())
		}
		values := floats(t, p)
		s := tensor.NewScope(b, tensor.Options{})
		ids := s.Ints([]int32{39, 0, 17, 17}, 4)
		x := tensor.Embedding(p, ids, backend.F32)
		got, err := x.Values()
		if err != nil {
			t.Fatal(err)
		}
		var want []float64
		for _, id := range []int{39, 0, 17, 17} {
			want = append(want, values[id*64:][:64]...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: looked up %v, want %v", f, got[:4], want[:4])
		}
		logProb, _ := tensor.LogProbs(x, p, ids, 0.8)
		scores, err := logProb.Values()
		if err != nil {
			t.Fatal(err)
		}
		logits, err := tensor.Logits(x, p).Values()
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range []int{39, 0, 17, 17} {
			row, sum := logits[i*40:][:40], 0.0
			for _, z := range row {
				sum += math.Exp(0.8 * z)
			}
			if want := 0.8*row[id] - math.Log(sum); math.Abs(scores[i]-want) > 1e-5*(1+math.Abs(want)) {
				t.Errorf("%s: row %d scores %v, want %v", f, i, scores[i], want)
			}
		}
		s.Close()
		ps.Free()
	}
}

func TestUninitializedParametersTakeRowsInTheirFinalForm(t *testing.T) {
	b := open(t)
	var w tensor.RowWriter
	defer w.Close()
	for _, f := range backend.Formats() {
		for _, packed := range []bool{false, true} {
			if f.ForwardOnly && !packed {
				continue
			}
			init := tensor.Init{Seed: 1, Std: 0.3, Format: f, Packed: packed}
			drawn := tensor.NewParams(b, init)
			init.Uninitialized = true
			empty := tensor.NewParams(b, init)
			for _, ps := range []*tensor.Params{drawn, empty} {
				ps.Stack("s", 2, 300, 24)
				ps.Gain("g", 5)
			}
			master := tensor.NewParams(b, tensor.Init{Seed: 1, Std: 0.3})
			master.Stack("s", 2, 300, 24)
			master.Gain("g", 5)
			if err := errors.Join(drawn.Err(), empty.Err(), master.Err()); err != nil {
				t.Fatal(err)
			}
			p := empty.Get("s")
			s := tensor.NewScope(b, tensor.Options{})
			x := s.Floats(backend.F32, ramp(24, 0), 1, 24)
			offsets := s.Ints([]int32{0, 1, 1}, 3)
			mustPanic(t, "tensor: parameter s has no values yet: 0 of 600 rows were set", func() {
				tensor.GroupedLinear(x, p,
					offsets)
			})
			mustPanic(t, "tensor: Set: rows from 128 on of parameter s before row 0", func() {
				w.Set(p, 128, backend.F32,
					make([]byte, 24*4))
			})
			mustPanic(t, "tensor: Set: 95 bytes of F32 for rows from 0 on", func() {
				w.Set(p, 0, backend.F32, make([]byte,
					95))
			})
			mustPanic(t, "tensor: Set: I8 for parameter s, want", func() { w.Set(p, 0, backend.I8, make([]byte, 24)) })
			if packed {
				for _, n := range []int{7, 600} { // less than a block, and more than the matrix
					mustPanic(t, fmt.Sprintf("tensor: Set: rows 0 to %d of parameter s [2 300 24], which is packed by 128", n),
						func() {
							w.Set(p, 0, backend.BF16, make([]byte, n*24*2))
						})
				}
			}
			s.Close()
			for _, q := range empty.All() {
				v := master.Get(q.Name).Value()
				data := make([]byte, v.Len()*4)
				if err := b.Download(data, v.Buf, 0); err != nil {
					t.Fatal(err)
				}
				pieces := [][2]int{{0, 128}, {128, 300}, {300, 556}, {556, 600}}
				if q.Name == "g" {
					pieces = [][2]int{{0, 1}}
				}
				width := len(data) / pieces[len(pieces)-1][1]
				for _, rows := range pieces {
					if err := w.Set(q, rows[0], backend.F32, data[rows[0]*width:rows[1]*width]); err != nil {
						t.Fatal(err)
					}
				}
				if got, want := floats(t, q), floats(t, drawn.Get(q.Name)); !slices.Equal(got, want) {
					t.Errorf("%s, packed %t: %s is not what Init draws and packs", f, packed, q.Name)
				}
			}
			drawn.Free()
			empty.Free()
			master.Free()
		}
	}
}

// SetScaled stores elements and scales as they are and does not quantise again.
func TestRowsOfCodesWithScalesAreKept(t *testing.T) {
	const rows, width = 300, 200
	b := open(t)
	ps := tensor.NewParams(b, tensor.Init{Format: backend.FP8, Packed: true, Uninitialized: true})
	p := ps.Stack("s", 2, rows, width)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	var w tensor.RowWriter
	defer w.Close()
	var want []float64
	for first := 0; first < 2*rows; {
		n := min(128, rows-first%rows)
		codes := make([]byte, n*width)
		for i := range codes {
			codes[i] = byte((first*width + i) % 127) // all are positive, and none is NaN
		}
		scales := make([]byte, (n+127)/128*2*4)
		for i := range len(scales) / 4 {
			backend.F32.Put(scales, i, 0.3+float64(first+i))
		}
		if err := w.SetScaled(p, first, codes, scales, nil); err != nil {
			t.Fatal(err)
		}
		for i, code := range codes {
			scale := backend.F32.Get(scales, i/width/128*2+i%width/128)
			want = append(want, backend.F32.Round(backend.E4M3.Get([]byte{code}, 0)*scale))
		}
		first += n
	}
	if !slices.Equal(floats(t, p), want) {
		t.Error("values are not the codes times their scales")
	}
	mustPanic(t, "tensor: SetScaled: 12 bytes of scales for 25600 bytes of parameter s [2 300 200], want [1 2] of F32",
		func() { w.SetScaled(p, 0, make([]byte, 128*width), make([]byte, 12), nil) })
	mustPanic(t, "tensor: Set: rows 0 to 7 of parameter s [2 300 200], which is packed by 128", func() {
		w.SetScaled(p, 0, make([]byte, 7*width), make([]byte, 8), nil)
	})
	for _, f := range []backend.Format{backend.Native, backend.BFloat16} {
		q := tensor.NewParams(b, tensor.Init{Format: f, Packed: true}).Matrix("q", 128, 128)
		mustPanic(t, "tensor: SetScaled: parameter q, packed true in format "+f.String(), func() {
			w.SetScaled(q, 0, make([]byte, 128*128), make([]byte, 4), nil)
		})
	}
}

// ReadRows returns the values of Floats, across the matrices of a stack and in every
// form.
func TestReadRowsReadsEveryForm(t *testing.T) {
	b := open(t)
	for _, c := range []tensor.Init{
		{DType: backend.F64}, {}, {Packed: true}, {Format: backend.Q8, Packed: true}, {Format: backend.FP8, Packed: true},
	} {
		p := tensor.NewParams(b, c).Stack("experts.*.w", 3, 4, 64)
		want := floats(t, p)
		got := make([]float32, 6*64) // the end of the first matrix, the second, the start of the third
		if err := p.ReadRows(3, got); err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			if x != float32(want[3*64+i]) {
				t.Fatalf("%s, packed %t: element %d is %v, want %v", c.Format, c.Packed, i, x, want[3*64+i])
			}
		}
		mustPanic(t, "tensor: ReadRows: 128 elements from row 11", func() { p.ReadRows(11, make([]float32, 128)) })
		mustPanic(t, "tensor: ReadRows: 5 elements", func() { p.ReadRows(0, make([]float32, 5)) })
	}
}
