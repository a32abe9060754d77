package cpu

import "github.com/aha-go/aha/backend"

// route sorts the assignments with a counting sort. Offsets first holds the end
// of each expert's slots; filling the slots from the last token down leaves
// their start.
func route(o *backend.MoERoute) {
	offsets, perm := data[int32](&o.Offsets)[:o.Offsets.Shape[0]], data[int32](&o.Perm)
	n := o.Index.Len()
	index, inverse := data[int32](&o.Index)[:n], data[int32](&o.Inverse)[:n]
	clear(offsets)
	ends := offsets[:len(offsets)-1]
	for _, e := range index {
		ends[row("MoERoute", "expert", e, len(ends))]++
	}
	var sum int32
	for e := range ends {
		sum += ends[e]
		ends[e] = sum
	}
	offsets[len(ends)] = sum
	for a := n - 1; a >= 0; a-- {
		e := index[a]
		ends[e]--
		perm[ends[e]], inverse[a] = int32(a), ends[e]
	}
}

// moeDispatch is the job of MoEDispatch, split by slots.
type moeDispatch[T number | uint16] backend.MoEDispatch

func (o *moeDispatch[T]) run(_ *worker, lo, hi int) {
	x, y, perm := data[T](&o.X), data[T](&o.Y), data[int32](&o.Perm)
	n, d := o.X.Shape[0], o.X.Shape[1]
	k := o.Y.Shape[0] / n
	for s := lo; s < hi; s++ {
		token := row("MoEDispatch", "assignment", perm[s], n*k) / k
		copy(y[s*o.Y.Strides[0]:][:d], x[token*o.X.Strides[0]:])
	}
}

// moeCombine is the job of MoECombine, split by tokens.
type moeCombine[T number] backend.MoECombine

func (o *moeCombine[T]) run(w *worker, lo, hi int) {
	inverse := data[int32](&o.Inverse)
	d, k := o.Y.Shape[1], o.Inverse.Shape[1]
	buf := scratch[T](w, bufferSize(&o.X, d)+bufferSize(&o.Y, d))
	x, buf := newReader(&o.X, d, buf)
	y, _ := newWriter(&o.Y, d, buf)
	for i := lo; i < hi; i++ {
		to := i * o.Y.Strides[0]
		sum := y.at(to, d)
		clear(sum)
		for a := i * k; a < (i+1)*k; a++ {
			weight := T(1)
			if o.Weight.Present() {
				weight = data[T](&o.Weight)[a]
			}
			s := row("MoECombine", "slot", inverse[a], o.X.Shape[0])
			addScaled(sum, x.at(s*o.X.Strides[0], d), weight)
		}
		y.done(to, d)
	}
}

// moeCombineGrad is the job of MoECombineGrad, split by tokens.
type moeCombineGrad[T number] backend.MoECombineGrad

func (o *moeCombineGrad[T]) run(w *worker, lo, hi int) {
	dWeight, weight, inverse := data[T](&o.DWeight), data[T](&o.Weight), data[int32](&o.Inverse)
	d, k := o.DY.Shape[1], o.Inverse.Shape[1]
	buf := scratch[T](w, bufferSize(&o.X, d)+bufferSize(&o.DY, d)+bufferSize(&o.DX, d))
	x, buf := newReader(&o.X, d, buf)
	dy, buf := newReader(&o.DY, d, buf)
	dx, _ := newWriter(&o.DX, d, buf)
	for i := lo; i < hi; i++ {
		dyi := dy.at(i*o.DY.Strides[0], d)
		for a := i * k; a < (i+1)*k; a++ {
			s := row("MoECombineGrad", "slot", inverse[a], o.X.Shape[0])
			dWeight[a] = dot(dyi, x.at(s*o.X.Strides[0], d))
			to := s * o.DX.Strides[0]
			scale(dx.at(to, d), dyi, weight[a])
			dx.done(to, d)
		}
	}
}
