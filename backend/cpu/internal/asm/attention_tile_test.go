package asm

import (
	"fmt"
	"testing"
)

func TestSoftmaxGradRowsHasTheBitsOfEachRowAlone(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, width := range []int{1, 15, 16, 17, 60, 128} {
			for _, rows := range []int{1, 2, 5} {
				visible := make([]int32, rows)
				lse, delta := random(rng, rows), random(rng, rows)
				p, ds := fill(rng, endOfPage(t, rows*width)), fill(rng, endOfPage(t, rows*width))
				for r := range visible {
					visible[r] = int32(rng.IntN(width + 1))
					poisoned(p[r*width:][visible[r]:width])
					poisoned(ds[r*width:][visible[r]:width])
				}
				startP, startDS := append([]float32(nil), p...), append([]float32(nil), ds...)
				SoftmaxGradRows(p, ds, visible, lse, delta, 0.3)
				for r, n := range visible {
					wantP, wantDS := make([]float32, width), make([]float32, width)
					Scale(wantP[:n], startP[r*width:], 0.3)
					ExpSub(wantP[:n], wantP, lse[r])
					SoftmaxGrad(wantDS[:n], wantP, startDS[r*width:], delta[r], 0.3)
					what := fmt.Sprintf("%d of %d columns", n, width)
					sameBits(t, what+": p", p[r*width:][:width], wantP)
					sameBits(t, what+": ds", ds[r*width:][:width], wantDS)
				}
			}
		}
	})
}
