package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// operand is a batch of strided matrices. Element (i, j) of matrix (e0, e1) is
// at index e0*batch[0] + e1*batch[1] + i*rs + j*cs of data, or of half.
type operand[T number] struct {
	data   []T
	half   []uint16 // the elements if they are BF16, else nil
	rs, cs int
	batch  [2]int
}

func operandOf[T number](v *backend.View) operand[T] {
	o := stridesOf[T](v)
	if v.DType == backend.BF16 {
		o.half = data[uint16](v)
	} else {
		o.data = data[T](v)
	}
	return o
}

// stridesOf returns an operand with the strides of v but without elements.
func stridesOf[T number](v *backend.View) operand[T] {
	o := operand[T]{rs: v.Stride(-2), cs: v.Stride(-1)}
	copy(o.batch[4-v.Rank:], v.Strides[:v.Rank-2])
	return o
}

// transposed returns o with rows and columns exchanged.
func (o operand[T]) transposed() operand[T] {
	o.rs, o.cs = o.cs, o.rs
	return o
}

// from returns o starting at element n of its memory.
func (o operand[T]) from(n int) operand[T] {
	if o.half != nil {
		o.half = o.half[min(n, len(o.half)):]
	} else {
		o.data = o.data[min(n, len(o.data)):]
	}
	return o
}

// rows returns o starting at row i.
func (o operand[T]) rows(i int) operand[T] { return o.from(i * o.rs) }

// matrix returns matrix (e0, e1) of the batch.
func (o operand[T]) matrix(e0, e1 int) operand[T] { return o.from(e0*o.batch[0] + e1*o.batch[1]) }

// whole returns the m×n matrix at the start of o as T: o itself or, if that is
// BF16, a copy in buf with the same dimension contiguous.
func (o operand[T]) whole(m, n int, buf []T) operand[T] {
	if o.half == nil {
		return o
	}
	w := operand[T]{data: buf[:m*n], rs: n, cs: 1}
	if o.rs == 1 && o.cs != 1 {
		w.rs, w.cs = 1, m
		m, n, o = n, m, o.transposed()
	}
	for i := range m {
		widenRun(buf[i*n:][:n], o.half[i*o.rs:], o.cs)
	}
	return w
}

// read copies the m×n matrix at the start of o to dst, whose rows are ld apart.
func (o operand[T]) read(dst []T, m, n, ld int) {
	for i := range m {
		if o.half != nil {
			widenRun(dst[i*ld:][:n], o.half[i*o.rs:], o.cs)
		} else {
			moveRow(dst[i*ld:], o.data[i*o.rs:], n, 1, o.cs)
		}
	}
}

// write copies src, whose rows are ld apart, to the m×n matrix at the start of o.
func (o operand[T]) write(src []T, m, n, ld int) {
	if o.half != nil && o.cs == 1 {
		asm.ToBF16Rows(o.half, o.rs, any(src).([]float32), ld, m, n)
		return
	}
	for i := range m {
		if o.half != nil {
			narrowRun(o.half[i*o.rs:], o.cs, src[i*ld:][:n])
		} else {
			moveRow(o.data[i*o.rs:], src[i*ld:], n, o.cs, 1)
		}
	}
}
