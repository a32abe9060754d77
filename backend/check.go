package backend

import (
	"fmt"
	"slices"
	"sync"
)

// checker keeps the first inconsistency found in an op's operands. Its methods keep an
// op's Check short, one line per rule. They allocate nothing unless a rule is broken,
// since every op is checked each time that a program runs.
type checker struct {
	op    string
	err   error
	visit func(*View, Access) // c.operand as a value, made once so that check allocates nothing
}

var checkers = sync.Pool{New: func() any {
	c := new(checker)
	c.visit = c.operand
	return c
}}

// check returns a checker that has applied the rules common to all ops. Call done to
// release it.
func check(op Op) *checker {
	c := checkers.Get().(*checker)
	c.op, c.err = op.Name(), nil
	op.Operands(c.visit)
	return c
}

// done returns the first inconsistency, or nil. c must not be used after it.
func (c *checker) done() error {
	err := c.err
	checkers.Put(c)
	return err
}

// operand requires v to be present, to lie within its buffer, to have no negative stride
// and, if the op writes it, to have no stride of 0 that puts several elements in one
// place.
func (c *checker) operand(v *View, a Access) {
	if c.err != nil {
		return
	}
	if !v.Present() {
		c.failf("an operand is absent")
		return
	}
	lo, hi, ok := v.bounds()
	if ok && (lo < 0 || (hi+1)*v.DType.Size() > v.Buf.Bytes()) {
		c.failf("operand %v at offset %d leaves its buffer of %d bytes", *v, v.Offset, v.Buf.Bytes())
	}
	if !ok {
		return
	}
	for i := range v.Rank {
		if v.Strides[i] < 0 && v.Shape[i] > 1 {
			c.failf("operand %v has a negative stride", *v)
		}
		if a != Read && v.Strides[i] == 0 && v.Shape[i] > 1 {
			c.failf("result %v repeats elements", *v)
		}
	}
}

func (c *checker) failf(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("backend: %s: %s", c.op, fmt.Sprintf(format, args...))
	}
}

// shape requires v to have exactly this shape.
func (c *checker) shape(name string, v *View, shape ...int) *checker {
	if c.err == nil && v.Present() {
		ok := v.Rank == len(shape)
		for i := 0; ok && i < v.Rank; i++ {
			ok = v.Shape[i] == shape[i]
		}
		if !ok {
			c.failf("%s %v, want shape %v", name, *v, slices.Clone(shape)) // shape itself stays on the stack
		}
	}
	return c
}

func (c *checker) rank(name string, v *View, rank int) *checker {
	if c.err == nil && v.Rank != rank {
		c.failf("%s %v, want rank %d", name, *v, rank)
	}
	return c
}

// float requires all present views to have the same dtype, F32 or F64.
func (c *checker) float(views ...*View) *checker {
	dt := views[0].DType
	if c.err == nil && dt != F32 && dt != F64 {
		c.failf("dtype %s, want F32 or F64", dt)
	}
	for _, v := range views {
		if c.err == nil && v.Present() && v.DType != dt {
			c.failf("dtypes %s and %s differ", dt, v.DType)
		}
	}
	return c
}

// activations requires each present view to be F32 or BF16, or all to be F64. An op
// widens BF16 when it reads, computes in F32, and rounds once, to nearest even, when it
// writes.
func (c *checker) activations(views ...*View) *checker {
	for _, v := range views {
		if c.err == nil && v.Present() && v.DType.Compute() != views[0].DType.Compute() {
			c.failf("dtypes %s and %s do not go together", views[0].DType, v.DType)
		}
	}
	if dt := views[0].DType.Compute(); c.err == nil && dt != F32 && dt != F64 {
		c.failf("dtype %s, want F32, BF16 or F64", dt)
	}
	return c
}

// statistics requires all present views to have the dtype in which an op on x
// accumulates.
func (c *checker) statistics(x *View, views ...*View) *checker {
	for _, v := range views {
		if dt := x.DType.Compute(); c.err == nil && v.Present() && v.DType != dt {
			c.failf("%s beside activations of %s, want %s", v.DType, x.DType, dt)
		}
	}
	return c
}

func (c *checker) ints(views ...*View) *checker {
	for _, v := range views {
		if c.err == nil && v.Present() && v.DType != I32 {
			c.failf("index operand %v, want I32", *v)
		}
	}
	return c
}

// unitStride requires the last dimension to have stride 1, so that rows are contiguous.
func (c *checker) unitStride(name string, v *View) *checker {
	if c.err == nil && v.Present() && v.Rank > 0 && v.Dim(-1) > 1 && v.Stride(-1) != 1 {
		c.failf("%s %v: rows must be contiguous", name, *v)
	}
	return c
}

// contiguous requires v to be row-major without gaps.
func (c *checker) contiguous(name string, v *View) *checker {
	if c.err == nil && v.Present() && !v.Contiguous() {
		c.failf("%s %v must be contiguous", name, *v)
	}
	return c
}

// that fails unless ok; sizes are the arguments of the message.
func (c *checker) that(ok bool, format string, sizes ...int) *checker {
	if !ok && c.err == nil {
		args := make([]any, len(sizes))
		for i, n := range sizes {
			args[i] = n
		}
		c.failf(format, args...)
	}
	return c
}

// thatViews fails unless ok; views are the arguments of the message.
func (c *checker) thatViews(ok bool, format string, views ...*View) *checker {
	if !ok && c.err == nil {
		args := make([]any, len(views))
		for i, v := range views {
			args[i] = *v
		}
		c.failf(format, args...)
	}
	return c
}

// convertible requires a and b to have the same dtype, or each to be F32 or BF16.
func (c *checker) convertible(a, b *View) *checker {
	if c.err == nil && a.DType.Compute() != b.DType.Compute() {
		c.failf("dtypes %s and %s", a.DType, b.DType)
	}
	return c
}

// sameDType requires a and b to have the same dtype.
func (c *checker) sameDType(a, b *View) *checker {
	if c.err == nil && a.DType != b.DType {
		c.failf("dtypes %s and %s differ", a.DType, b.DType)
	}
	return c
}
