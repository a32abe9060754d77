package model_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/model"
)

// fp8Definition computes FP8 ops on the host, by loops written from their definition, and
// passes all other ops to the backend. It has no packed layout.
type fp8Definition struct {
	backend.Decorator
	products int
}

func (*fp8Definition) PackedLen(_ backend.Format, dt backend.DType, _, _ int) (backend.DType, int) {
	return dt, 0
}

func (d *fp8Definition) Do(op backend.Op) error {
	switch o := op.(type) {
	case *backend.Pack:
		return d.quantise(o)
	case *backend.Unpack:
		return d.lookUp(o)
	case *backend.MatMul:
		if o.B.Format == backend.FP8 {
			return d.product(o.C, o.A, o.B)
		}
	case *backend.GroupedMatMul:
		if o.B.Format != backend.FP8 {
			break
		}
		offsets, err := backend.Values(d.Backend, o.Offsets)
		for e := 0; err == nil && e < len(offsets)-1; e++ {
			lo, hi := int(offsets[e]), int(offsets[e+1])
			err = d.product(o.C.Slice(0, lo, hi), o.A.Slice(0, lo, hi), o.B.Index(e))
		}
		return err
	}
	return d.Backend.Do(op)
}

// store writes x to v element by element, since v may be a part of a buffer.
func (d *fp8Definition) store(v backend.View, x []float64) error {
	var err error
	mem := make([]byte, v.DType.Size())
	v.Each(func(i, at int) {
		v.DType.Put(mem, 0, x[i])
		err = errors.Join(err, d.Upload(v.Buf, at*len(mem), mem))
	})
	return err
}

// scaled returns max(least, max|x|)/448 in F32.
func scaled(x []float64, least float32) float32 {
	for _, v := range x {
		least = max(least, float32(math.Abs(v)))
	}
	if least == 0 {
		return 1
	}
	return least / 448
}

func (d *fp8Definition) quantise(o *backend.Pack) error {
	if o.Src.Data.Rank == 3 {
		for e := range o.Src.Data.Shape[0] {
			if err := d.quantise(&backend.Pack{Dst: o.Dst.Index(e), Src: o.Src.Index(e)}); err != nil {
				return err
			}
		}
		return nil
	}
	k, n := o.Src.Dims()
	for p := 0; p < k; p += 128 {
		for q := 0; q < n; q += 128 {
			block := func(v backend.View) backend.View {
				return v.Slice(0, p, min(p+128, k)).Slice(1, q, min(q+128, n))
			}
			x, err := backend.Values(d.Backend, block(o.Src.Data))
			if err != nil {
				return err
			}
			s := scaled(x, 0)
			for i := range x {
				x[i] = float64(float32(x[i]) / s)
			}
			err = d.store(block(o.Dst.Data), x)
			if err := errors.Join(err, d.store(o.Dst.Scale.Slice(0, p/128, p/128+1).Slice(1, q/128, q/128+1),
				[]float64{float64(s)})); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *fp8Definition) lookUp(o *backend.Unpack) error {
	codes, err1 := backend.Values(d.Backend, o.Src.Data)
	scales, err2 := backend.Values(d.Backend, o.Src.Scale)
	index, err3 := backend.Values(d.Backend, o.Index)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	k, n := o.Src.Dims()
	y := make([]float64, k*len(index))
	for i := range y {
		p, j := i/len(index), int(index[i%len(index)])
		y[i] = float64(float32(codes[p*n+j]) * float32(scales[p/128*((n+127)/128)+j/128]))
	}
	return d.store(o.Dst, y)
}

func (d *fp8Definition) product(c, a backend.View, b backend.Matrix) error {
	d.products++
	x, err1 := backend.Values(d.Backend, a)
	codes, err2 := backend.Values(d.Backend, b.Data)
	scales, err3 := backend.Values(d.Backend, b.Scale)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	m := a.Shape[0]
	k, n := b.Dims()
	y := make([]float64, m*n)
	for i := range m {
		row := x[i*k:][:k]
		for j := range n {
			sum := float32(0)
			for p := 0; p < k; p += 128 {
				block := row[p:min(p+128, k)]
				s := scaled(block, 1e-4)
				at := func(q int) float32 { // an exact product
					if q >= len(block) {
						return 0
					}
					return float32(backend.E4M3.Round(float64(float32(block[q])/s)) * codes[(p+q)*n+j])
				}
				part := float32(0)
				for q := 0; q < len(block); q += 2 {
					part += at(q + 1)
					part += at(q)
				}
				both := s * float32(scales[p/128*((n+127)/128)+j/128])
				sum += float32(both * part)
			}
			y[i*n+j] = float64(sum)
		}
	}
	return d.store(c, y)
}

// On every kernel path, a model in FP8 gives the bits of the definition, with scales per
// block of weights and of activations.
func TestFP8ModelComputesItsDefinition(t *testing.T) {
	cfg := model.Tiny(32)
	cfg.InitializerRange = 0.1
	ids := []int32{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9}
	o := model.Options{Format: backend.FP8, Tables: backend.FP8, Packed: true}
	definition := &fp8Definition{Decorator: backend.Decorator{Backend: open(t)}}
	var got [2][]float64
	for i, b := range []backend.Backend{open(t), definition} {
		m, err := model.NewWith(b, cfg, 3, o)
		must(t, err)
		got[i] = scores(t, m, ids)
		m.Free()
	}
	if definition.products < 10 {
		t.Errorf("%d products were computed by the definition", definition.products)
	}
	if !slices.Equal(got[0], got[1]) {
		t.Errorf("scores %v, by the definition %v", got[0], got[1])
	}
}
