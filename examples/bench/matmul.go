package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aha-go/aha/backend"
)

var matmulShapes = []string{"1024x1024x1024", "2048x2048x2048", "1x4096x4096", "8x4096x4096", "32x4096x4096"}

const (
	fewRows   = 64        // up to this many rows, reading the weights from memory limits a product
	coldBytes = 256 << 20 // total size of the copies of B that calls cycle through, so that none is still cached
	mostTurns = 64        // maximum number of copies; if more were needed, B is so small that it may stay cached
)

func checkMatMul(_ options, shape string) error {
	_, err := sizes(shape, 3)
	return err
}

// measureMatMul times C = A·B with B packed beforehand. For F32 and BF16 with more
// than fewRows rows it times B unpacked, too. A and C have the dtype of -precision.
func measureMatMul(ctx context.Context, b *bench, t task) error {
	s, err := sizes(t.shape, 3)
	if err != nil {
		return err
	}
	m, n, k := s[0], s[1], s[2]
	p := product{b: b, m: m, n: n, k: k, f: backend.Format(t.format)}
	defer p.free()
	work := operations(t.format, 2*float64(m)*float64(n)*float64(k))
	reads := p.f.BitsPerElement(backend.F32) / 8 * float64(n) * float64(k)
	variants := []bool{true}
	if m > fewRows && (t.format == f32 || t.format == bf16) {
		variants = []bool{false, true}
	}
	for _, packed := range variants {
		l := t.line(b, backend.Memory{})
		l.Part = "unpacked"
		c := work
		copies := 1
		if packed {
			l.Part = "packed"
			if m <= fewRows && reads*mostTurns >= coldBytes {
				c.bytes = reads
				copies = max(int(coldBytes/reads), 1)
			}
		}
		if err := b.fits(t.String(), 4*float64(n)*float64(k)+reads*float64(copies)); err != nil {
			return err
		}
		call, err := p.call(packed, copies)
		if err != nil {
			return err
		}
		res, err := b.rounds(ctx, c, b.parts(call))
		if err != nil {
			return err
		}
		unit := "GFLOP/s"
		if c.int8 > 0 {
			unit = "Gop/s"
		}
		if err := b.emit(res.rate(l, 0, 2*float64(m)*float64(n)*float64(k)/1e9, unit, c)); err != nil {
			return err
		}
	}
	return nil
}

// product is a matrix product of A [M, K] and B [K, N], and the buffers of its operands.
type product struct {
	b       *bench
	m, n, k int
	f       backend.Format
	bufs    []backend.Buffer
}

func (p *product) free() {
	for _, buf := range p.bufs {
		p.b.b.Free(buf)
	}
}

func (p *product) alloc(dt backend.DType, shape ...int) (backend.View, error) {
	v := backend.NewView(nil, dt, shape...)
	buf, err := p.b.b.Alloc(v.Len() * dt.Size())
	if err != nil {
		return v, err
	}
	p.bufs = append(p.bufs, buf)
	v.Buf = buf
	return v, nil
}

// random returns a matrix of standard normal numbers of dtype dt.
func (p *product) random(dt backend.DType, stream uint64, shape ...int) (backend.View, error) {
	v, err := p.alloc(backend.F32, shape...)
	if err == nil {
		err = p.b.b.Do(&backend.Random{Dst: v, Seed: 1, Stream: stream, Distribution: backend.Normal})
	}
	if err != nil || dt == backend.F32 {
		return v, err
	}
	rounded, err := p.alloc(dt, shape...)
	if err == nil {
		err = p.b.b.Do(&backend.Copy{Dst: rounded, Src: v})
	}
	return rounded, err
}

// call returns a function that computes the product; each of its calls uses the
// next of the given number of copies of B.
func (p *product) call(packed bool, copies int) (func() error, error) {
	a, errA := p.random(p.b.precision, 1, p.m, p.k)
	w, errW := p.random(backend.F32, 2, p.k, p.n)
	c, errC := p.alloc(p.b.precision, p.m, p.n)
	if err := errors.Join(errA, errW, errC); err != nil {
		return nil, err
	}
	ops := []*backend.MatMul{{C: c, A: a, B: backend.Matrix{Data: w, Format: p.f}}}
	if packed {
		ops = ops[:0]
		for range copies {
			m, err := p.pack(w)
			if err != nil {
				return nil, err
			}
			ops = append(ops, &backend.MatMul{C: c, A: a, B: m})
		}
	}
	next := 0
	return func() error {
		next++
		return p.b.b.Do(ops[next%len(ops)])
	}, nil
}

func (p *product) pack(w backend.View) (backend.Matrix, error) {
	dt, size := p.b.b.PackedLen(p.f, w.DType, p.k, p.n)
	if size == 0 {
		return backend.Matrix{}, fmt.Errorf("no packed layout of a [%d %d] matrix in format %s", p.k, p.n, p.f)
	}
	v, err := p.alloc(dt, size)
	if err != nil {
		return backend.Matrix{}, err
	}
	m := backend.Matrix{Data: v, Layout: backend.Packed, Format: p.f, K: p.k, N: p.n}
	return m, p.b.b.Do(&backend.Pack{Dst: m, Src: backend.MatrixOf(w)})
}
