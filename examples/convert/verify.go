package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/aha-go/aha/model/checkpoint"
)

// verify reads the folder dir that was written and compares every tensor with its source.
func (c *conversion) verify(dir string) error {
	r, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	defer r.Close()
	want := 0
	var total, done int64
	for _, it := range c.items {
		want += len(it.tensors)
		for _, w := range it.tensors {
			t, ok := r.Lookup(w.Name)
			if !ok {
				return fmt.Errorf("verification: tensor %q was not written", w.Name)
			}
			total += t.Bytes()
		}
	}
	if have := len(r.Tensors()); have != want {
		return fmt.Errorf("verification: %d tensors were written, want %d", have, want)
	}
	report, end := megabytes("verifying")
	defer end()
	for _, it := range c.items {
		if err := c.compare(r, it); err != nil {
			return fmt.Errorf("verification: tensor %q: %w", it.name, err)
		}
		for _, w := range it.tensors {
			t, _ := r.Lookup(w.Name)
			done += t.Bytes()
		}
		report(done, total)
	}
	return nil
}

// compare compares one tensor and its scales with their source.
func (c *conversion) compare(r *checkpoint.Reader, it item) error {
	if it.values.Read == nil {
		for _, w := range it.tensors {
			if err := c.sameBytes(r, w.Name); err != nil {
				return err
			}
		}
		return nil
	}
	written, err := r.Rows(it.name, [2]int{})
	if err != nil {
		return err
	}
	width := 1
	if n := len(it.values.Shape); n > 0 {
		width = it.values.Shape[n-1]
	}
	var got []float32
	return it.values.Each(128, func(first int, want []float32) error {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		got = append(got[:0], want...)
		if err := written.Read(first, got); err != nil {
			return err
		}
		limit := newLimit(it.to, want, width)
		for i, x := range want {
			if y := got[i]; !limit.holds(i, x, y) {
				return fmt.Errorf("element %d of row %d is %v as %s, its source is %v", i%width, first+i/width, y, it.to, x)
			}
		}
		return nil
	})
}

// sameBytes returns an error unless a copied tensor has the bytes of its source.
func (c *conversion) sameBytes(r *checkpoint.Reader, name string) error {
	a, err := c.a.Section(name)
	if err != nil {
		return err
	}
	b, err := r.Section(name)
	if err != nil {
		return err
	}
	if a.Size() != b.Size() {
		return fmt.Errorf("%d bytes, its source has %d", b.Size(), a.Size())
	}
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		n, err := io.ReadFull(a, x)
		if _, other := io.ReadFull(b, y[:n]); other != nil {
			return other
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return errors.New("the copy differs from its source")
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// limit is the largest error of rounding to a dtype, for a range of rows that starts and
// ends with a block.
type limit struct {
	relative float64   // error relative to the value
	near     float64   // absolute error of values near zero
	blocks   []float64 // absolute error near zero for each FP8 block; nil for other dtypes
	width    int       // elements of a row
}

func newLimit(dt checkpoint.DType, x []float32, width int) limit {
	l := limit{width: width}
	switch dt {
	case checkpoint.BF16:
		l.relative, l.near = math.Ldexp(1, -8), math.Ldexp(1, -134)
	case checkpoint.F16:
		l.relative, l.near = math.Ldexp(1, -11), math.Ldexp(1, -25)
	case checkpoint.F8E4M3:
		l.relative = math.Ldexp(1+1e-6, -4)
		l.blocks = make([]float64, (len(x)/width+127)/128*l.across())
		for i, v := range x { // half of the subnormal step 2⁻⁹ of E4M3, times the block's scale max|x|/448
			b := l.block(i)
			l.blocks[b] = max(l.blocks[b], math.Abs(float64(v))/448*math.Ldexp(1+1e-6, -10))
		}
	}
	return l
}

func (l limit) across() int { return (l.width + 127) / 128 }

// block returns the index of the 128×128 block that element i is in.
func (l limit) block(i int) int { return i/l.width/128*l.across() + i%l.width/128 }

func (l limit) holds(i int, want, got float32) bool {
	if want == got || want != want && got != got {
		return true
	}
	near := l.near
	if l.blocks != nil {
		near = l.blocks[l.block(i)]
	}
	return math.Abs(float64(got)-float64(want)) <= max(l.relative*math.Abs(float64(want)), near)
}
