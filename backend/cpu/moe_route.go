package cpu

import "github.com/aha-go/aha/backend"

// route sorts the assignments by counting. Offsets first holds the end of each
// expert's slots; filling them from the last token down leaves their start.
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

// moeDispatch is a job over slots.
type moeDispatch[T number] backend.MoEDispatch

func (o *moeDispatch[T]) run(_ *worker, lo, hi int) {
	x, y, perm := data[T](&o.X), data[T](&o.Y), data[int32](&o.Perm)
	n, d := o.X.Shape[0], o.X.Shape[1]
	k := o.Y.Shape[0] / n
	for s := lo; s < hi; s++ {
		token := row("MoEDispatch", "assignment", perm[s], n*k) / k
		copy(y[s*o.Y.Strides[0]:][:d], x[token*o.X.Strides[0]:])
	}
}

// moeCombine is a job over tokens.
type moeCombine[T number] backend.MoECombine

func (o *moeCombine[T]) run(_ *worker, lo, hi int) {
	x, y, inverse := data[T](&o.X), data[T](&o.Y), data[int32](&o.Inverse)
	d, k := o.Y.Shape[1], o.Inverse.Shape[1]
	for i := lo; i < hi; i++ {
		yi := y[i*o.Y.Strides[0]:][:d]
		clear(yi)
		for a := i * k; a < (i+1)*k; a++ {
			weight := T(1)
			if o.Weight.Present() {
				weight = data[T](&o.Weight)[a]
			}
			s := row("MoECombine", "slot", inverse[a], o.X.Shape[0])
			addScaled(yi, x[s*o.X.Strides[0]:][:d], weight)
		}
	}
}

// moeCombineGrad is a job over tokens.
type moeCombineGrad[T number] backend.MoECombineGrad

func (o *moeCombineGrad[T]) run(_ *worker, lo, hi int) {
	dx, dweight, dy, x := data[T](&o.DX), data[T](&o.DWeight), data[T](&o.DY), data[T](&o.X)
	weight, inverse := data[T](&o.Weight), data[int32](&o.Inverse)
	d, k := o.DY.Shape[1], o.Inverse.Shape[1]
	for i := lo; i < hi; i++ {
		dyi := dy[i*o.DY.Strides[0]:][:d]
		for a := i * k; a < (i+1)*k; a++ {
			s := row("MoECombineGrad", "slot", inverse[a], o.X.Shape[0])
			dweight[a] = dot(dyi, x[s*o.X.Strides[0]:][:d])
			scale(dx[s*o.DX.Strides[0]:][:d], dyi, weight[a])
		}
	}
}
