package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type randomSpec struct {
	N            int
	Distribution backend.Distribution
	Stream       uint64
}

func randomFamily() family {
	f := family{random: func(r *rand.Rand) spec {
		return randomSpec{size(r, 0), backend.Distribution(r.IntN(2)), r.Uint64()}
	}}
	for _, n := range edges {
		f.cases = append(f.cases, randomSpec{n, backend.Uniform, 0}, randomSpec{n, backend.Normal, 5})
	}
	f.cases = append(f.cases, randomSpec{10001, backend.Uniform, math.MaxUint64}, randomSpec{10001, backend.Normal,
		1 << 40})
	f.bench = []spec{randomSpec{1 << 20, backend.Uniform, 0}, randomSpec{1 << 20, backend.Normal, 0}}
	return f
}

func (randomSpec) op() string { return "Random" }

func (c randomSpec) build(s *setup) {
	const seed = 0x0123456789abcdef
	dst := s.write("Dst", flat, c.N)
	s.op = &backend.Random{Dst: dst.view, Seed: seed, Stream: c.Stream, Distribution: c.Distribution}
	s.want = func() {
		for i := range c.N {
			words := backend.Philox(seed, c.Stream, uint64(i/4))
			if c.Distribution == backend.Uniform {
				u := float64(words[i%4]) * 0x1p-32
				dst.expect(i, u, u)
				continue
			}
			pair := words[i%4/2*2:]
			radius := math.Sqrt(-2 * math.Log((float64(pair[0])+1)*0x1p-32))
			angle := 2 * math.Pi * float64(pair[1]) * 0x1p-32
			x := radius * math.Cos(angle)
			if i%2 == 1 {
				x = radius * math.Sin(angle)
			}
			// The radius, which is large if the argument of its logarithm is small,
			// multiplies an error in the argument of cosine and sine.
			dst.expect(i, x, math.Abs(x)+16*radius*0x1p-53/roundoff(s.dt))
		}
	}
}
