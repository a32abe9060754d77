package cpu

import "github.com/aha-go/aha/backend"

func gatherJob(o *backend.Gather) job {
	if o.X.DType != o.Y.DType {
		return (*gatherRounded)(o)
	}
	return sized(o.Y.DType, (*gather[uint8])(o), (*gather[uint16])(o), (*gather[int32])(o), (*gather[float64])(o))
}

// sized returns the job for the element size of dt. Ops that only move elements
// treat F32 like I32.
func sized(dt backend.DType, one, two, four, eight job) job {
	switch dt.Size() {
	case 1:
		return one
	case 2:
		return two
	case 4:
		return four
	}
	return eight
}

type gather[T number | int32 | uint16 | uint8] backend.Gather

func (o *gather[T]) run(_ *worker, lo, hi int) {
	y, x, index := data[T](&o.Y), data[T](&o.X), data[int32](&o.Index)
	d := o.X.Shape[1]
	for i := lo; i < hi; i++ {
		to := y[i*o.Y.Strides[0]:]
		id := index[i*o.Index.Strides[0]]
		if id < 0 {
			fillRow(to, d, o.Y.Strides[1], 0)
			continue
		}
		r := row("Gather", "index", id, o.X.Shape[0])
		moveRow(to, x[r*o.X.Strides[0]:], d, o.Y.Strides[1], o.X.Strides[1])
	}
}

// gatherRounded is the job of Gather between F32 and BF16.
type gatherRounded backend.Gather

func (o *gatherRounded) run(w *worker, lo, hi int) {
	d := o.X.Shape[1]
	buf := scratch[float32](w, 2*d)
	x, y := newStridedReader(&o.X, buf[:d]), writer[float32]{newStridedReader(&o.Y, buf[d:])}
	for i := lo; i < hi; i++ {
		to, step := i*o.Y.Strides[0], o.Y.Strides[1]
		if id := at[int32](&o.Index, i); id >= 0 {
			y.put(to, step, x.load(row("Gather", "index", id, o.X.Shape[0])*o.X.Strides[0], o.X.Strides[1], d))
		} else {
			clear(buf[d:])
			y.put(to, step, buf[d:])
		}
	}
}

// scatter is the job of Scatter without Add. It is split by columns: one thread
// writes all rows of a column, in ascending order.
type scatter[T number | int32 | uint16 | uint8] backend.Scatter

func (o *scatter[T]) run(_ *worker, lo, hi int) {
	y, x, index := data[T](&o.Y), data[T](&o.X), data[int32](&o.Index)
	for i := range o.Index.Shape[0] {
		id := index[i*o.Index.Strides[0]]
		if id < 0 {
			continue
		}
		r := row("Scatter", "index", id, o.Y.Shape[0])
		to := y[r*o.Y.Strides[0]+lo*o.Y.Strides[1]:]
		moveRow(to, x[i*o.X.Strides[0]+lo*o.X.Strides[1]:], hi-lo, o.Y.Strides[1], o.X.Strides[1])
	}
}

// scatterRounded is the job of Scatter between F32 and BF16, split like
// scatter.
type scatterRounded backend.Scatter

func (o *scatterRounded) run(w *worker, lo, hi int) {
	buf := scratch[float32](w, hi-lo)
	x, y := newStridedReader(&o.X, buf), writer[float32]{newStridedReader(&o.Y, buf)}
	for i := range o.Index.Shape[0] {
		if id := at[int32](&o.Index, i); id >= 0 {
			r := row("Scatter", "index", id, o.Y.Shape[0])
			from := x.load(i*o.X.Strides[0]+lo*o.X.Strides[1], o.X.Strides[1], hi-lo)
			y.put(r*o.Y.Strides[0]+lo*o.Y.Strides[1], o.Y.Strides[1], from)
		}
	}
}

// scatterAdd is the job of Scatter with Add, split like scatter.
type scatterAdd[T number | int32] backend.Scatter

func (o *scatterAdd[T]) run(w *worker, lo, hi int) {
	y, index := data[T](&o.Y), data[int32](&o.Index)
	x := newStridedReader(&o.X, scratch[T](w, hi-lo))
	sy, sx := o.Y.Strides[1], o.X.Strides[1]
	for i := range o.Index.Shape[0] {
		id := index[i*o.Index.Strides[0]]
		if id < 0 {
			continue
		}
		r := row("ScatterAdd", "index", id, o.Y.Shape[0])
		to, from := y[r*o.Y.Strides[0]+lo*sy:], x.load(i*o.X.Strides[0]+lo*sx, sx, hi-lo)
		if sy == 1 {
			combine(backend.Add, to[:hi-lo], to[:hi-lo], from)
			continue
		}
		for j, v := range from {
			to[j*sy] += v
		}
	}
}

func (b *CPU) scatter(o *backend.Scatter) error {
	var j job
	switch {
	case !o.Add && o.X.DType != o.Y.DType:
		j = (*scatterRounded)(o)
	case !o.Add:
		j = sized(o.Y.DType, (*scatter[uint8])(o), (*scatter[uint16])(o), (*scatter[int32])(o), (*scatter[float64])(o))
	case o.Y.DType == backend.F32:
		j = (*scatterAdd[float32])(o)
	case o.Y.DType == backend.F64:
		j = (*scatterAdd[float64])(o)
	case o.Y.DType == backend.I32:
		j = (*scatterAdd[int32])(o)
	default:
		return backend.Unsupported(b, o, o.Y.DType.String())
	}
	columns := rowGrain(o.Index.Shape[0])
	b.pool.run(o.Y.Shape[1], (columns+15)&^15, j) // whole cache lines
	return nil
}

type gatherLast[T number] backend.GatherLast

func (o *gatherLast[T]) run(_ *worker, lo, hi int) {
	y, x, index := data[T](&o.Y), data[T](&o.X), data[int32](&o.Index)
	for i := lo; i < hi; i++ {
		for j := range o.Index.Shape[1] {
			var v T
			if id := index[i*o.Index.Strides[0]+j*o.Index.Strides[1]]; id >= 0 {
				v = x[i*o.X.Strides[0]+row("GatherLast", "index", id, o.X.Shape[1])*o.X.Strides[1]]
			}
			y[i*o.Y.Strides[0]+j*o.Y.Strides[1]] = v
		}
	}
}

type scatterLast[T number] backend.ScatterLast

func (o *scatterLast[T]) run(_ *worker, lo, hi int) {
	y, x, index := data[T](&o.Y), data[T](&o.X), data[int32](&o.Index)
	for i := lo; i < hi; i++ {
		for j := range o.Index.Shape[1] {
			if id := index[i*o.Index.Strides[0]+j*o.Index.Strides[1]]; id >= 0 {
				y[i*o.Y.Strides[0]+row("ScatterLast", "index", id,
					o.Y.Shape[1])*o.Y.Strides[1]] += x[i*o.X.Strides[0]+j*o.X.Strides[1]]
			}
		}
	}
}
