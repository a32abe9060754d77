package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// reader reads runs of elements of a view as T. BF16 elements are first widened
// to float32 in a buffer that stays in the first-level cache.
type reader[T number | int32] struct {
	whole []T
	half  []uint16 // the elements if the view is BF16, else nil
	buf   []T
}

// bufferSize returns how many elements of scratch memory a reader or writer of
// v needs for runs of n elements.
func bufferSize(v *backend.View, n int) int {
	if v.DType == backend.BF16 {
		return n
	}
	return 0
}

// newReader returns a reader of runs of up to n elements. It takes the reader's
// buffer from the front of scratch and returns the rest of scratch.
func newReader[T number | int32](v *backend.View, n int, scratch []T) (r reader[T], rest []T) {
	if v.DType == backend.BF16 {
		return reader[T]{half: data[uint16](v), buf: scratch[:n]}, scratch[n:]
	}
	return reader[T]{whole: data[T](v)}, scratch
}

// newStridedReader returns a reader of up to len(buf) elements at a time, which
// need not be adjacent.
func newStridedReader[T number | int32](v *backend.View, buf []T) (r reader[T]) {
	r, _ = newReader(v, len(buf), buf)
	r.buf = buf
	return r
}

// newRunReader returns a strided reader for the runs of a walk. It takes the
// reader's buffer from the front of scratch and returns the rest of scratch.
func newRunReader[T number | int32](v *backend.View, scratch []T) (r reader[T], rest []T) {
	return newStridedReader(v, scratch[:blockLen]), scratch[blockLen:]
}

// load returns the n elements that lie stride apart, starting at offset off.
// The result is valid until the next call. r must come from newStridedReader or
// newRunReader.
func (r *reader[T]) load(off, stride, n int) []T {
	if r.half == nil {
		return load(r.whole[off:], stride, n, r.buf)
	}
	widenRun(r.buf[:n], r.half[off:], stride)
	return r.buf[:n]
}

// at returns the n adjacent elements starting at offset off. The result is
// valid until the next call.
func (r *reader[T]) at(off, n int) []T {
	if r.half == nil {
		return r.whole[off:][:n]
	}
	widen(r.buf[:n], r.half[off:][:n])
	return r.buf[:n]
}

// writer writes runs of elements of a view. BF16 elements are computed as
// float32 in a buffer and rounded when they are stored.
type writer[T number | int32] struct{ reader[T] }

func newWriter[T number | int32](v *backend.View, n int, scratch []T) (w writer[T], rest []T) {
	w.reader, rest = newReader(v, n, scratch)
	return w, rest
}

// newRunWriter returns a writer for the runs of a walk; see newRunReader.
func newRunWriter[T number | int32](v *backend.View, scratch []T) (w writer[T], rest []T) {
	w.reader, rest = newRunReader(v, scratch)
	return w, rest
}

// place returns the memory to which the caller writes the n elements that lie
// stride apart, starting at offset off. Its content is undefined, and store
// must follow. w must come from newRunWriter.
func (w *writer[T]) place(off, stride, n int) []T {
	if w.half == nil {
		return place(w.whole[off:], stride, n, w.buf)
	}
	return w.buf[:n]
}

// store copies from, a result of place, to the view where place did not return
// the view's own memory.
func (w *writer[T]) store(off, stride int, from []T) {
	if w.half == nil {
		store(w.whole[off:], stride, from)
		return
	}
	w.put(off, stride, from)
}

// put writes the elements of from to the view, stride apart, starting at offset
// off.
func (w *writer[T]) put(off, stride int, from []T) {
	if w.half == nil {
		moveRow(w.whole[off:], from, len(from), stride, 1)
	} else {
		narrowRun(w.half[off:], stride, from)
	}
}

// at returns the memory to which the caller writes the n adjacent elements
// starting at offset off. Its content is undefined, and done must follow.
func (w *writer[T]) at(off, n int) []T {
	if w.half == nil {
		return w.whole[off:][:n]
	}
	return w.buf[:n]
}

// done stores the n elements that were written to the result of at(off, n).
func (w *writer[T]) done(off, n int) {
	if w.half != nil {
		narrow(w.half[off:][:n], w.buf[:n])
	}
}

// copy copies n adjacent elements from offset off of x to offset to of w. It
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

// areBF16 reports whether all views are BF16.
func areBF16(views ...*backend.View) bool {
	for _, v := range views {
		if v.DType != backend.BF16 {
			return false
		}
	}
	return true
}

// halfRow returns row i of a BF16 matrix, whose elements must be adjacent.
func halfRow(v *backend.View, i int) []uint16 { return data[uint16](v)[i*v.Strides[0]:][:v.Shape[1]] }

// widen converts x from BF16 to float32. T must be float32.
func widen[T number | int32](dst []T, x []uint16) { asm.FromBF16(any(dst).([]float32), x) }

// narrow rounds x from float32 to BF16. T must be float32.
func narrow[T number | int32](dst []uint16, x []T) { asm.ToBF16(dst, any(x).([]float32)) }

// widenRun widens len(dst) elements of x that lie stride apart.
func widenRun[T number | int32](dst []T, x []uint16, stride int) {
	if stride == 1 || len(dst) <= 1 {
		widen(dst, x[:len(dst)])
		return
	}
	for i := range dst {
		dst[i] = T(fromBFloat16(x[i*stride]))
	}
}

// narrowRun narrows x into elements of dst that lie stride apart.
func narrowRun[T number | int32](dst []uint16, stride int, x []T) {
	if stride == 1 || len(x) <= 1 {
		narrow(dst[:len(x)], x)
		return
	}
	for i, v := range x {
		dst[i*stride] = bfloat16(float32(v))
	}
}
