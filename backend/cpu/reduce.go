package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// reduceChunk is the number of elements that are reduced at a time. The results
// of a longer row's chunks are reduced again in ascending order, so that
// several threads can share one row without changing its bits.
const reduceChunk = 4096

// reduce is the job of Reduce, split by rows and chunks.
type reduce[T number] struct {
	*backend.Reduce
	chunks   int
	partials []T // [rows, chunks], used if there is more than one chunk
}

func (b *CPU) reduce(o *backend.Reduce) {
	if o.X.DType == backend.F64 {
		b.f64.reduce.do(b.pool, o)
	} else {
		b.f32.reduce.do(b.pool, o)
	}
}

func (j *reduce[T]) do(p *pool, o *backend.Reduce) {
	n, rows := o.X.Dim(-1), o.Y.Len()
	j.Reduce, j.chunks = o, max(ceil(n, reduceChunk), 1)
	if j.chunks > 1 {
		j.partials = grow(j.partials, rows*j.chunks)
	}
	p.run(rows*j.chunks, rowGrain(min(n, reduceChunk)), j)
	if j.chunks > 1 {
		i := 0
		y, _ := newRunWriter(&o.Y, scratch[T](&p.workers[0], blockLen))
		for it := newWalk(0, rows, &o.Y); it.next(); i += it.n {
			out := y.place(it.off[0], it.stride(0), it.n)
			for r := range out {
				out[r] = merge(o.Fn, j.partials[(i+r)*j.chunks:][:j.chunks])
			}
			y.store(it.off[0], it.stride(0), out)
		}
	}
	j.Reduce = nil
}

func (j *reduce[T]) run(w *worker, lo, hi int) {
	n, step := j.X.Dim(-1), j.X.Stride(-1)
	rows := j.X
	rows.Rank--
	if n == 0 {
		rows.Strides = [backend.MaxRank]int{} // no elements to read, although offsets may lie outside of the memory
	}
	width := min(n, reduceChunk)
	buf := scratch[T](w, width+blockLen)
	x := newStridedReader(&j.X, buf[:width])
	y, _ := newRunWriter(&j.Y, buf[width:])
	first := lo / j.chunks * j.chunks // unit of the row's first chunk
	for it := newWalk(lo/j.chunks, ceil(hi, j.chunks), &j.Y, &rows); it.next(); {
		out := y.place(it.off[0], it.stride(0), it.n)
		for r := range out {
			for c := max(lo-first, 0); c < min(hi-first, j.chunks); c++ {
				from := c * reduceChunk
				m := min(reduceChunk, n-from)
				v := fold(j.Fn, x.load(it.off[1]+r*it.stride(1)+from*step, step, m))
				if j.chunks > 1 {
					j.partials[first+c] = v
				} else {
					out[r] = v
				}
			}
			first += j.chunks
		}
		if j.chunks == 1 {
			y.store(it.off[0], it.stride(0), out)
		}
	}
}

// fold returns the reduction of x by fn.
func fold[T number](fn backend.ReduceFn, x []T) T {
	x32, single := any(x).([]float32)
	var y T
	switch {
	case fn == backend.ReduceMax:
		y = T(math.Inf(-1))
		for _, v := range x {
			y = max(y, v)
		}
	case fn == backend.Sum && single:
		y = T(asm.Sum(x32))
	case fn == backend.SumSquares && single:
		y = T(asm.SumSquares(x32))
	case fn == backend.Sum:
		for _, v := range x {
			y += v
		}
	case fn == backend.SumSquares:
		for _, v := range x {
			y += T(v * v)
		}
	}
	return y
}

// merge combines the results of fold for the chunks of a row.
func merge[T number](fn backend.ReduceFn, x []T) T {
	y := x[0]
	for _, v := range x[1:] {
		if fn == backend.ReduceMax {
			y = max(y, v)
		} else {
			y += v
		}
	}
	return y
}

type softmax[T number] backend.Softmax

func (o *softmax[T]) run(w *worker, lo, hi int) {
	n, sx, sy := o.X.Dim(-1), o.X.Stride(-1), o.Y.Stride(-1)
	rowsX, rowsY := o.X, o.Y
	rowsX.Rank--
	rowsY.Rank--
	buf := scratch[T](w, 2*n)
	x, y := newStridedReader(&o.X, buf[:n]), writer[T]{newStridedReader(&o.Y, buf[n:])}
	for it := newWalk(lo, hi, &rowsY, &rowsX); it.next(); {
		for r := range it.n {
			to := it.off[0] + r*it.stride(0)
			out := y.place(to, sy, n)
			_, sum := expShifted(out, x.load(it.off[1]+r*it.stride(1), sx, n))
			scale(out, out, 1/sum)
			y.store(to, sy, out)
		}
	}
}

type topK[T number] backend.TopK

func (o *topK[T]) run(w *worker, lo, hi int) {
	index := data[int32](&o.Index)
	e, k := o.X.Shape[1], o.Index.Shape[1]
	buf := scratch[T](w, k+e)
	best := buf[:k]
	x := newStridedReader(&o.X, buf[k:])
	for i := lo; i < hi; i++ {
		ids, step := index[i*o.Index.Strides[0]:], o.Index.Strides[1]
		found := 0
		for j, v := range x.load(i*o.X.Strides[0], o.X.Strides[1], e) {
			if v != v {
				v = T(math.Inf(-1))
			}
			if found == k && (k == 0 || !(v > best[k-1])) {
				continue
			}
			// Insert before every smaller value but after equal ones, which
			// came first.
			at := min(found, k-1)
			for ; at > 0 && v > best[at-1]; at-- {
				best[at] = best[at-1]
				ids[at*step] = ids[(at-1)*step]
			}
			best[at], ids[at*step] = v, int32(j)
			found = min(found+1, k)
		}
		if o.Values.Present() {
			values := writer[T]{newStridedReader(&o.Values, best)}
			values.put(i*o.Values.Strides[0], o.Values.Strides[1], best)
		}
	}
}
