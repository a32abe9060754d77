package backendtest

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
)

// Compare returns a backend that runs every op on both b and ref and returns an error
// that names the first op whose results differ. Use it in the place of b in a real model:
//
//	m, err := model.New(backendtest.Compare(ref, b), cfg, seed)
//
// Download returns the results of b. After each op they are copied to ref, so that
// differences do not add up and each op is judged by itself. Floats may differ by 4096
// roundoffs of the largest magnitude in the operand, integers not at all. Ops that b
// lacks are reported as unsupported, so that their decomposition is compared; ops that
// ref lacks are decomposed there.
//
// Close closes both backends.
func Compare(ref, b backend.Backend) backend.Backend {
	return &comparer{Decorator: backend.Decorator{Backend: b}, ref: ref}
}

type comparer struct {
	backend.Decorator
	ref backend.Backend
	ops int // run so far
}

// pair is a buffer on b and its counterpart on ref.
type pair struct{ b, ref backend.Buffer }

func (p *pair) Bytes() int { return p.b.Bytes() }

// Alloc fills both buffers with zeros, since an op may leave part of a result unchanged.
func (c *comparer) Alloc(bytes int) (backend.Buffer, error) { return c.AllocFor(backend.Other, bytes) }

// AllocFor allocates for h on both sides.
func (c *comparer) AllocFor(h backend.Holder, bytes int) (backend.Buffer, error) {
	b, err := backend.AllocFor(c.Backend, h, bytes)
	if err != nil {
		return nil, err
	}
	ref, err := backend.AllocFor(c.ref, h, bytes)
	if err != nil {
		c.Backend.Free(b)
		return nil, err
	}
	p := &pair{b, ref}
	if err := c.Upload(p, 0, make([]byte, bytes)); err != nil {
		c.Free(p)
		return nil, err
	}
	return p, nil
}

func (c *comparer) Free(buf backend.Buffer) {
	p := buf.(*pair)
	c.Backend.Free(p.b)
	c.ref.Free(p.ref)
}

func (c *comparer) Upload(dst backend.Buffer, off int, src []byte) error {
	p := dst.(*pair)
	return cmp.Or(c.Backend.Upload(p.b, off, src), c.ref.Upload(p.ref, off, src))
}

func (c *comparer) Download(dst []byte, src backend.Buffer, off int) error {
	return c.Backend.Download(dst, src.(*pair).b, off)
}

func (c *comparer) Sync() error { return errors.Join(c.Backend.Sync(), c.ref.Sync()) }

func (c *comparer) Close() error { return errors.Join(c.Backend.Close(), c.ref.Close()) }

// PackedLen returns 0 elements, not packed, unless both sides pack to the same length.
// Each side has its own packed layout, which is not compared.
func (c *comparer) PackedLen(f backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	p, ok := c.Backend.(backend.Packer)
	q, refOK := c.ref.(backend.Packer)
	if !ok || !refOK {
		return dt, 0
	}
	packed, size := p.PackedLen(f, dt, k, n)
	if other, length := q.PackedLen(f, dt, k, n); other != packed || length != size {
		return dt, 0
	}
	return packed, size
}

// Do runs op on both sides and compares the results.
func (c *comparer) Do(op backend.Op) error {
	if err := on(op, func(p *pair) backend.Buffer { return p.b }, c.Backend.Do); err != nil {
		return err
	}
	c.ops++
	err := on(op, func(p *pair) backend.Buffer { return p.ref }, func(op backend.Op) error {
		return backend.Do(c.ref,
			op)
	})
	if err != nil {
		return fmt.Errorf("backendtest: Compare: op %d on the reference: %w", c.ops, err)
	}
	if _, packs := op.(*backend.Pack); packs {
		return nil
	}
	operand := -1
	op.Operands(func(v *backend.View, a backend.Access) {
		operand++
		if err == nil && a != backend.Read {
			err = c.compare(op, operand, *v)
		}
	})
	return err
}

// on calls do with op's operands replaced by one side of their pairs.
func on(op backend.Op, side func(*pair) backend.Buffer, do func(backend.Op) error) error {
	var own []backend.Buffer
	op.Operands(func(v *backend.View, _ backend.Access) {
		own = append(own, v.Buf)
		v.Buf = side(v.Buf.(*pair))
	})
	defer op.Operands(func(v *backend.View, _ backend.Access) { v.Buf, own = own[0], own[1:] })
	return do(op)
}

// disagreement returns the allowed difference between two backends, relative to the
// largest element of a result: 4096 roundoffs, two roundoffs for BF16, and none for
// integers and dtypes that are only stored, since ops that write those round values that
// both sides share.
func disagreement(dt backend.DType) float64 {
	switch dt {
	case backend.F32:
		return 0x1p-12
	case backend.F64:
		return 0x1p-41
	case backend.BF16:
		return 0x1p-8
	}
	return 0
}

// compare compares the view v that op wrote on both sides and copies it from b to ref.
func (c *comparer) compare(op backend.Op, operand int, v backend.View) error {
	lo, hi := v.Span()
	size := v.DType.Size()
	p := v.Buf.(*pair)
	got, want := make([]byte, (hi-lo)*size), make([]byte, (hi-lo)*size)
	if err := cmp.Or(c.Backend.Download(got, p.b, lo*size), c.ref.Download(want, p.ref, lo*size)); err != nil {
		return fmt.Errorf("backendtest: Compare: op %d, %s: %w", c.ops, op.Name(), err)
	}
	largest := 0.0
	v.Each(func(_, at int) {
		if x := math.Abs(v.DType.Get(want, at-lo)); x > largest && !math.IsInf(x, 0) {
			largest = x
		}
	})
	allowed := largest * disagreement(v.DType)
	var err error
	v.Each(func(i, at int) {
		x, y := v.DType.Get(got, at-lo), v.DType.Get(want, at-lo)
		if err == nil && excess(x, y, allowed) > 1 {
			err = fmt.Errorf("backendtest: Compare: op %d, %s: operand %d, %s, element %v: "+
				"%v on %s, %v on %s, allowed difference %.3g",
				c.ops, op.Name(), operand, v, unravel(v, i), x, c.Backend.Name(), y, c.ref.Name(), allowed)
		}
	})
	if err != nil {
		return err
	}
	// Only the elements of v are copied: others between them may belong to another view.
	v.Each(func(_, at int) { copy(want[(at-lo)*size:][:size], got[(at-lo)*size:]) })
	return c.ref.Upload(p.ref, lo*size, want)
}
