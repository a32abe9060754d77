package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// reader reads runs of a view's elements as T: those of BF16 are widened to
// float32 on the way, in a buffer that stays in the first-level cache.
type reader[T number | int32] struct {
	whole []T
	half  []uint16 // of BF16, else nil
	buf   []T
}

// bufferSize is how many elements of scratch a reader or writer of v needs for
// runs of n elements.
func bufferSize(v *backend.View, n int) int {
	if v.DType == backend.BF16 {
		return n
	}
	return 0
}

// newReader takes its buffer, for runs of up to n elements, from the front of
// scratch and returns the rest.
func newReader[T number | int32](v *backend.View, n int, scratch []T) (r reader[T], rest []T) {
	if v.DType == backend.BF16 {
		return reader[T]{half: data[uint16](v), buf: scratch[:n]}, scratch[n:]
	}
	return reader[T]{whole: data[T](v)}, scratch
}

// newStridedReader is a reader of elements that may lie strided, as many at a time
// as buf has.
func newStridedReader[T number | int32](v *backend.View, buf []T) (r reader[T]) {
	r, _ = newReader(v, len(buf), buf)
	r.buf = buf
	return r
}

// newRunReader is newStridedReader for the runs of a walk. It takes its buffer
// from the front of scratch and returns the rest.
func newRunReader[T number | int32](v *backend.View, scratch []T) (r reader[T], rest []T) {
	return newStridedReader(v, scratch[:blockLen]), scratch[blockLen:]
}

// load is n elements from off on that lie stride apart, to be read until the next
// call. r is of newStridedReader or newRunReader.
func (r *reader[T]) load(off, stride, n int) []T {
	if r.half == nil {
		return load(r.whole[off:], stride, n, r.buf)
	}
	widenRun(r.buf[:n], r.half[off:], stride)
	return r.buf[:n]
}

// at is the n adjacent elements from off on, to be read until the next call.
func (r *reader[T]) at(off, n int) []T {
	if r.half == nil {
		return r.whole[off:][:n]
	}
	widen(r.buf[:n], r.half[off:][:n])
	return r.buf[:n]
}

// writer writes runs of a view's elements: those of BF16 are computed in a buffer
// and rounded as they leave it.
type writer[T number | int32] struct{ reader[T] }

func newWriter[T number | int32](v *backend.View, n int, scratch []T) (w writer[T], rest []T) {
	w.reader, rest = newReader(v, n, scratch)
	return w, rest
}

// newRunWriter is newRunReader for a writer.
func newRunWriter[T number | int32](v *backend.View, scratch []T) (w writer[T], rest []T) {
	w.reader, rest = newRunReader(v, scratch)
	return w, rest
}

// place is where to write n elements that lie stride apart from off on, with
// undefined content; store must follow. w is of newRunWriter.
func (w *writer[T]) place(off, stride, n int) []T {
	if w.half == nil {
		return place(w.whole[off:], stride, n, w.buf)
	}
	return w.buf[:n]
}

// store spreads what was written to place's result.
func (w *writer[T]) store(off, stride int, from []T) {
	if w.half == nil {
		store(w.whole[off:], stride, from)
		return
	}
	w.put(off, stride, from)
}

// put writes from to elements that lie stride apart from off on.
func (w *writer[T]) put(off, stride int, from []T) {
	if w.half == nil {
		moveRow(w.whole[off:], from, len(from), stride, 1)
	} else {
		narrowRun(w.half[off:], stride, from)
	}
}

// at is the place of the n adjacent elements from off on, with undefined content;
// done must follow.
func (w *writer[T]) at(off, n int) []T {
	if w.half == nil {
		return w.whole[off:][:n]
	}
	return w.buf[:n]
}

// done stores what was written to the place of the n elements from off on.
func (w *writer[T]) done(off, n int) {
	if w.half != nil {
		narrow(w.half[off:][:n], w.buf[:n])
	}
}

// copy writes the n adjacent elements of x from off on to those from to on. It
// needs no buffer.
func (w *writer[T]) copy(to int, x *reader[T], off, n int) {
	switch {
	case w.half != nil && x.half != nil:
		copy(w.half[to:][:n], x.half[off:])
	case w.half != nil:
		narrow(w.half[to:][:n], x.whole[off:][:n])
	case x.half != nil:
		widen(w.whole[to:][:n], x.half[off:][:n])
	default:
		copy(w.whole[to:][:n], x.whole[off:])
	}
}

// widen sets dst to the BF16 numbers x. T is float32.
func widen[T number | int32](dst []T, x []uint16) { asm.FromBF16(any(dst).([]float32), x) }

// narrow rounds x to BF16. T is float32.
func narrow[T number | int32](dst []uint16, x []T) { asm.ToBF16(dst, any(x).([]float32)) }

// widenRun is widen of elements of x that lie stride apart.
func widenRun[T number | int32](dst []T, x []uint16, stride int) {
	if stride == 1 || len(dst) <= 1 {
		widen(dst, x[:len(dst)])
		return
	}
	for i := range dst {
		dst[i] = T(fromBFloat16(x[i*stride]))
	}
}

// narrowRun is narrow to elements of dst that lie stride apart.
func narrowRun[T number | int32](dst []uint16, stride int, x []T) {
	if stride == 1 || len(x) <= 1 {
		narrow(dst[:len(x)], x)
		return
	}
	for i, v := range x {
		dst[i*stride] = bfloat16(float32(v))
	}
}
