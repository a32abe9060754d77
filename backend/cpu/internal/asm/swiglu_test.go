package asm

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// In BF16, SwiGLU and its gradient are those of the same numbers in float32,
// rounded once.
func TestBF16SwiGLUIsThatOfFloat32RoundedOnce(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rng := newRand(t)
		for _, n := range append(rowSizes, widenedRun-1, widenedRun, widenedRun+1, 3*widenedRun+5) {
			var whole [5][]float32 // the two results, dY, gate and up
			var half [5][]uint16
			for r := range half {
				guarded := endOfPageOf[uint16](t, n+1)
				guarded[0] = 0x1234
				half[r] = guarded[1:]
				ToBF16(half[r], random(rng, n))
				for i, x := range []float32{0, float32(math.Inf(1)), float32(math.NaN()), -200, 1e-40} {
					if at := (7*i + 3*r) % 41; at < n {
						half[r][at] = toBF16(x)
					}
				}
				whole[r] = make([]float32, n)
				FromBF16(whole[r], half[r])
				defer func() {
					if guarded[0] != 0x1234 {
						t.Errorf("n=%d: wrote before row %d", n, r)
					}
				}()
			}
			want, other := make([]uint16, n), make([]uint16, n)
			check := func(name string, got, want []uint16) {
				t.Helper()
				for i := range got {
					if got[i] != want[i] {
						t.Fatalf("%s, n=%d: element %d is %#04x, want %#04x", name, n, i, got[i], want[i])
					}
				}
			}
			SwiGLU(whole[0], whole[3], whole[4])
			ToBF16(want, whole[0])
			SwiGLUBF16(half[0], half[3], half[4])
			check("SwiGLUBF16", half[0], want)

			SwiGLUGrad(whole[0], whole[1], whole[2], whole[3], whole[4])
			ToBF16(want, whole[0])
			ToBF16(other, whole[1])
			SwiGLUGradBF16(half[0], half[1], half[2], half[3], half[4])
			check("dGate of SwiGLUGradBF16", half[0], want)
			check("dUp of SwiGLUGradBF16", half[1], other)
			inPlace, dUp := slices.Clone(half[3]), slices.Clone(half[4]) // the outputs are gate and up
			SwiGLUGradBF16(inPlace, dUp, half[2], inPlace, dUp)
			check("dGate in place", inPlace, want)
			check("dUp in place", dUp, other)
			for r, name := range []string{2: "dY", 3: "gate", 4: "up"} {
				if r >= 2 {
					ToBF16(want, whole[r])
					check(fmt.Sprintf("%s after SwiGLUGradBF16", name), half[r], want)
				}
			}
		}
	})
}
