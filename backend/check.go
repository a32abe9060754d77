package backend

import "fmt"

// checker collects the first inconsistency of an op's operands. Its methods
// keep an op's Check short: one line per rule.
type checker struct {
	op  string
	err error
}

func check(op Op) *checker {
	c := &checker{op: op.Name()}
	op.Operands(func(v *View, a Access) {
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
		if a == Read || !ok {
			return
		}
		for i := range v.Rank {
			if v.Strides[i] == 0 && v.Shape[i] > 1 {
				c.failf("result %v repeats elements", *v)
			}
		}
	})
	return c
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
			c.failf("%s %v, want shape %v", name, *v, shape)
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

// float requires one common F32 or F64 dtype of all present views.
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

func (c *checker) ints(views ...*View) *checker {
	for _, v := range views {
		if c.err == nil && v.Present() && v.DType != I32 {
			c.failf("index operand %v, want I32", *v)
		}
	}
	return c
}

// dense requires contiguous rows: the last dimension has stride 1.
func (c *checker) dense(name string, v *View) *checker {
	if c.err == nil && v.Present() && v.Rank > 0 && v.Dim(-1) > 1 && v.Stride(-1) != 1 {
		c.failf("%s %v: rows must be contiguous", name, *v)
	}
	return c
}

// contiguous requires v to lie row-major without gaps.
func (c *checker) contiguous(name string, v *View) *checker {
	if c.err == nil && v.Present() && !v.Contiguous() {
		c.failf("%s %v must be contiguous", name, *v)
	}
	return c
}

func (c *checker) that(ok bool, format string, args ...any) *checker {
	if !ok {
		c.failf(format, args...)
	}
	return c
}
