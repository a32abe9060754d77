package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type ropeSpec struct {
	N, H, R, Still       int // Still elements of a row come before the R that are rotated
	Interleaved, Inverse bool
	InPlace              bool
}

func ropeFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec {
		return ropeSpec{size(r, 0), r.IntN(5), 2 * r.IntN(40), r.IntN(2) * r.IntN(20), r.IntN(2) == 0, r.IntN(2) == 0,
			r.IntN(3) == 0}
	}}
	for i, half := range []int{0, 1, 3, 4, 7, 8, 9, 16, 17, 32, 33, 64} {
		for _, interleaved := range []bool{false, true} {
			f.cases = append(f.cases, ropeSpec{1 + i%5, 1 + i%3, 2 * half, i % 4 * 3, interleaved, i%2 == 1, i%3 == 1})
		}
	}
	f.cases = append(f.cases, ropeSpec{N: 0, H: 2, R: 8}, ropeSpec{N: 3, H: 0, R: 8}, ropeSpec{N: 40, H: 3, R: 64,
		Interleaved: true})
	f.gradient = []spec{ropeSpec{N: 3, H: 2, R: 6, Still: 2, Interleaved: true, Inverse: true}, ropeSpec{N: 3, H: 2,
		R: 6, Inverse: true}}
	f.bench = []spec{ropeSpec{N: 512, H: 16, R: 64, Interleaved: true}, ropeSpec{N: 512, H: 16, R: 64}}
	return f
}

func (ropeSpec) op() string { return "RoPE" }

func (c ropeSpec) build(s *setup) {
	d := c.Still + c.R
	var x, y *operand
	if c.InPlace {
		x = s.update("X", rows, c.N, c.H, d)
		y = x
	} else {
		x, y = s.read("X", rows, c.N, c.H, d), s.write("Y", rows, c.N, c.H, d)
	}
	pos, cos, sin := s.angles(c.N, c.R)
	s.op = &backend.RoPE{Y: y.view, X: x.view, Pos: pos.view, Cos: cos.view, Sin: sin.view, Interleaved: c.Interleaved,
		Inverse: c.Inverse}
	s.flops = 3 * float64(c.N*c.H*c.R)
	s.want = func() {
		want, size := c.rotate(x.vals, pos.vals, cos.vals, sin.vals, c.Inverse)
		for i, v := range want {
			if i%d >= c.Still {
				y.expect(i, v, 2*size[i])
			} else if !c.InPlace { // in place, these are not written
				y.expect(i, v, 0)
			}
		}
		if c.Inverse { // the gradient of the forward rotation, if X is the gradient of its result
			input := make([]float64, len(x.vals))
			for i := range input {
				input[i] = s.rng.NormFloat64()
			}
			s.gradient("X", input, want, func() float64 {
				rotated, _ := c.rotate(input, pos.vals, cos.vals, sin.vals, false)
				return dot(rotated, x.vals)
			})
		}
	}
}

// angles returns the positions of n tokens, and the cosines and sines of r/2 pairs.
func (s *setup) angles(n, r int) (pos, cos, sin *operand) {
	const positions = 50
	half := max(r/2, 1)
	angle := func(i int) float64 { return float64(i/half) * math.Pow(1e4, -float64(i%half)/float64(half)) }
	pos = s.ints("Pos", free, s.below(0, positions), n)
	cos = s.readStatWith("Cos", flat, func(i int) float64 { return math.Cos(angle(i)) }, positions, r/2)
	sin = s.readStatWith("Sin", flat, func(i int) float64 { return math.Sin(angle(i)) }, positions, r/2)
	return pos, cos, sin
}

// rotate returns x with the last R elements of its rows rotated, and the sum of the
// magnitudes of each element's terms.
func (c ropeSpec) rotate(x, pos, cos, sin []float64, inverse bool) (y, size []float64) {
	y, size = append([]float64(nil), x...), make([]float64, len(x))
	half := c.R / 2
	for i := range c.N {
		for h := range c.H {
			row := (i*c.H+h)*(c.Still+c.R) + c.Still
			for j := range half {
				p, q := row+j, row+j+half
				if c.Interleaved {
					p, q = row+2*j, row+2*j+1
				}
				co, si := cos[int(pos[i])*half+j], sin[int(pos[i])*half+j]
				if inverse {
					si = -si
				}
				y[p], y[q] = x[p]*co-x[q]*si, x[p]*si+x[q]*co
				size[p], size[q] = math.Abs(x[p]*co)+math.Abs(x[q]*si), math.Abs(x[p]*si)+math.Abs(x[q]*co)
			}
		}
	}
	return y, size
}
