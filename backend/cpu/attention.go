package cpu

import (
	"fmt"
	"math"

	"github.com/aha-go/aha/backend"
)

// attention is a job over query rows × heads. A row's scores are indexed from
// its first key on, which is position 0 of its sequence, so neither packing,
// chunking nor the cache changes any of its bits.
type attention[T number] backend.Attention

func (o *attention[T]) run(w *worker, lo, hi int) {
	out, lse, q := data[T](&o.O), data[T](&o.LSE), data[T](&o.Q)
	heads, dk, dv := o.Q.Shape[1], o.Q.Shape[2], o.V.Shape[2]
	group := heads / o.K.Shape[1]
	for t := lo; t < hi; t++ {
		i, h := t/heads, t%heads
		qi := q[i*o.Q.Strides[0]+h*o.Q.Strides[1]:][:dk]
		oi := out[i*o.O.Strides[0]+h*o.O.Strides[1]:][:dv]
		clear(oi)
		first, n := keyWindow("Attention", &o.Start, &o.Len, i, o.K.Shape[0])
		if n == 0 {
			lse[t] = T(math.Inf(-1))
			continue
		}
		p := scratch[T](w, n)
		dots(p, qi, keyRows[T](&o.K, first, h/group), o.K.Strides[0])
		scale(p, p, T(o.Scale))
		m, sum := expShifted(p, p)
		weightedSum(oi, p, keyRows[T](&o.V, first, h/group), o.V.Strides[0])
		scale(oi, oi, 1/sum)
		lse[t] = m + T(math.Log(float64(sum)))
	}
}

// keyWindow is the first key row and the number of keys that query row i sees.
func keyWindow(op string, start, length *backend.View, i, rows int) (first, n int) {
	first, n = int(data[int32](start)[i]), int(data[int32](length)[i])
	if n <= 0 {
		return 0, 0
	}
	if first < 0 || first+n > rows {
		panic(fmt.Errorf("cpu: %s: row %d: keys %d to %d of %d", op, i, first, first+n, rows))
	}
	return first, n
}

// keyRows is the memory of v [R, G, D] from row first of key head g on.
func keyRows[T number](v *backend.View, first, g int) []T {
	return data[T](v)[first*v.Strides[0]+g*v.Strides[1]:]
}
