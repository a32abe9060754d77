package cpu

import (
	"math"

	"github.com/aha-go/aha/backend"
)

// random is the job of Random, split by Philox blocks of four elements.
type random[T number] backend.Random

func (o *random[T]) run(_ *worker, lo, hi int) {
	dst := data[T](&o.Dst)[:o.Dst.Len()]
	for block := lo; block < hi; block++ {
		words := backend.Philox(o.Seed, o.Stream, uint64(block))
		var x [4]T
		if o.Distribution == backend.Normal {
			x[0], x[1] = boxMuller[T](words[0], words[1])
			x[2], x[3] = boxMuller[T](words[2], words[3])
		} else {
			for i, w := range words {
				x[i] = uniform[T](w)
			}
		}
		copy(dst[4*block:], x[:])
	}
}

// uniform returns word·2⁻³², a number in [0, 1). A word that float32 would
// round up to 1 gives the largest float32 below 1.
func uniform[T number](word uint32) T {
	if u := T(float64(word) * 0x1p-32); u < 1 {
		return u
	}
	return 1 - 0x1p-24
}

func boxMuller[T number](w1, w2 uint32) (T, T) {
	r := math.Sqrt(-2 * math.Log((float64(w1)+1)*0x1p-32))
	sin, cos := math.Sincos(2 * math.Pi * (float64(w2) * 0x1p-32))
	return T(r * cos), T(r * sin)
}
