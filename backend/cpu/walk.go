package cpu

import "github.com/aha-go/aha/backend"

// blockLen is the maximum number of elements of a run of a walk. A few blocks
// of this size stay in the first-level cache.
const blockLen = 1024

// walk visits a range of the elements of up to four views of the same shape, in
// row-major order, as runs that are evenly spaced in every view. Neighbouring
// dimensions that continue each other in all views are merged, so contiguous
// views of any rank are treated as one long row.
type walk struct {
	rank    int
	shape   [backend.MaxRank]int    // innermost first
	strides [backend.MaxRank][4]int // innermost first, by view
	at      [backend.MaxRank]int    // innermost first, for each view
	left    int                     // elements after the current run

	n   int    // length of the current run
	off [4]int // offset of the run's first element in each view
}

// newWalk returns a walk over elements [lo, hi), positioned before the first
// run.
func newWalk(lo, hi int, views ...*backend.View) walk {
	w := walk{rank: 1, left: hi - lo}
	w.shape[0] = 1
	for d := views[0].Rank - 1; d >= 0; d-- {
		n := views[0].Shape[d]
		if n == 1 {
			continue
		}
		top := w.rank - 1
		if w.shape[top] != 1 && w.continues(d, views) {
			w.shape[top] *= n
			continue
		}
		if w.shape[top] != 1 {
			top++
			w.rank++
		}
		w.shape[top] = n
		for i, v := range views {
			w.strides[top][i] = v.Strides[d]
		}
	}
	for d := range w.rank {
		w.at[d] = lo % max(w.shape[d], 1)
		lo /= max(w.shape[d], 1)
	}
	return w
}

// continues reports whether dimension d of every view continues the outermost
// dimension merged so far, so that the two can be merged.
func (w *walk) continues(d int, views []*backend.View) bool {
	top := w.rank - 1
	for i, v := range views {
		if v.Strides[d] != w.shape[top]*w.strides[top][i] {
			return false
		}
	}
	return true
}

// next moves to the next run and reports whether there is one.
func (w *walk) next() bool {
	if w.left == 0 {
		return false
	}
	w.at[0] += w.n
	for d := 0; d+1 < w.rank && w.at[d] == w.shape[d]; d++ {
		w.at[d] = 0
		w.at[d+1]++
	}
	w.n = min(w.shape[0]-w.at[0], w.left, blockLen)
	w.left -= w.n
	w.off = [4]int{}
	for d := range w.rank {
		for i := range w.off {
			w.off[i] += w.at[d] * w.strides[d][i]
		}
	}
	return true
}

// stride returns the distance between elements of the current run in view i.
func (w *walk) stride(i int) int { return w.strides[0][i] }

// load returns n elements of x that lie stride apart: x itself if they are
// adjacent, else a copy in buf.
func load[T any](x []T, stride, n int, buf []T) []T {
	if stride == 1 || n == 1 {
		return x[:n]
	}
	buf = buf[:n]
	if stride == 0 {
		for i := range buf {
			buf[i] = x[0]
		}
		return buf
	}
	for i := range buf {
		buf[i] = x[i*stride]
	}
	return buf
}

// place returns the memory to which a kernel writes n elements of y: y itself
// if they are adjacent, else buf, which store then copies to y.
func place[T any](y []T, stride, n int, buf []T) []T {
	if stride == 1 || n == 1 {
		return y[:n]
	}
	return buf[:n]
}

// store copies from, a result of place, to y if place did not return y itself.
func store[T any](y []T, stride int, from []T) {
	if stride == 1 || len(from) == 1 {
		return
	}
	for i, v := range from {
		y[i*stride] = v
	}
}
