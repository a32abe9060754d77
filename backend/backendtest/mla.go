package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

type mlaKeysSpec struct {
	N, H, Nope, Rope, Value int
	Interleaved             bool
	Cached                  bool // keys are written to rows of a cache
	Values                  bool // values are written too
}

var mlaKeysShapes = []mlaKeysSpec{
	{N: 0, H: 2, Nope: 4, Rope: 2, Value: 3}, {N: 3, H: 0, Nope: 4, Rope: 2, Value: 3}, {N: 1, H: 1, Nope: 1, Rope: 2,
		Value: 1},
	{N: 5, H: 3, Nope: 0, Rope: 8, Value: 4}, {N: 5, H: 3, Nope: 8, Rope: 0, Value: 4}, {N: 5, H: 3, Nope: 8, Rope: 6,
		Value: 0},
	{N: 40, H: 4, Nope: 32, Rope: 16, Value: 32},
}

func randomMLAKeys(r *rand.Rand) mlaKeysSpec {
	return mlaKeysSpec{
		N: size(r, 0), H: r.IntN(5), Nope: r.IntN(40), Rope: 2 * r.IntN(20), Value: r.IntN(40),
		Interleaved: r.IntN(2) == 0, Cached: r.IntN(2) == 0, Values: r.IntN(2) == 0,
	}
}

func mlaKeysFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return randomMLAKeys(r) }}
	for i, c := range mlaKeysShapes {
		c.Interleaved = i%2 == 0
		f.cases = append(f.cases, c)
		c.Cached = true
		f.cases = append(f.cases, c)
		c.Values = true
		f.cases = append(f.cases, c)
	}
	f.bench = []spec{mlaKeysSpec{N: 512, H: 16, Nope: 128, Rope: 64, Value: 128, Interleaved: true}}
	return f
}

func (mlaKeysSpec) op() string { return "MLAKeys" }

func (c mlaKeysSpec) build(s *setup) {
	up, kR := s.read("Up", rows, c.N, c.H, c.Nope+c.Value), s.read("KR", rows, c.N, c.Rope)
	pos, cos, sin := s.angles(c.N, c.Rope)
	op := &backend.MLAKeys{Up: up.view, KR: kR.view, Pos: pos.view, Cos: cos.view, Sin: sin.view,
		Interleaved: c.Interleaved}
	s.op = op
	total, keep := c.N, s.write
	place := make([]int, c.N) // the key row of each token
	for i := range place {
		place[i] = i
	}
	if c.Cached {
		total, keep = 2*c.N+1, s.update
		order := s.rng.Perm(total)
		for i := range place {
			if place[i] = order[i]; i%7 == 3 {
				place[i] = -1
			}
		}
		op.Row = s.ints("Row", free, func(i int) int { return place[i] }, c.N).view
	}
	k := keep("K", rows, total, c.H, c.Nope+c.Rope)
	op.K = k.view
	var v *operand
	if c.Values {
		v = keep("V", rows, total, c.H, c.Value)
		op.V = v.view
	}
	s.flops = 3 * float64(c.N*c.H*c.Rope)
	s.want = func() {
		turn := ropeSpec{N: c.N, H: 1, R: c.Rope, Interleaved: c.Interleaved}
		rotated, size := turn.rotate(kR.vals, pos.vals, cos.vals, sin.vals, false)
		for i, r := range place {
			for h := 0; h < c.H && r >= 0; h++ {
				from, to := (i*c.H+h)*(c.Nope+c.Value), (r*c.H+h)*(c.Nope+c.Rope)
				for j := range c.Nope {
					k.expect(to+j, up.vals[from+j], 0)
				}
				for j := range c.Rope {
					k.expect(to+c.Nope+j, rotated[i*c.Rope+j], 2*size[i*c.Rope+j])
				}
				for j := 0; j < c.Value && v != nil; j++ {
					v.expect((r*c.H+h)*c.Value+j, up.vals[from+c.Nope+j], 0)
				}
			}
		}
	}
}

type mlaKeysGradSpec struct{ mlaKeysSpec }

func mlaKeysGradFamily() family {
	f := family{bf16: true, random: func(r *rand.Rand) spec { return mlaKeysGradSpec{randomMLAKeys(r)} }}
	for i, c := range mlaKeysShapes {
		c.Interleaved = i%2 == 0
		f.cases = append(f.cases, mlaKeysGradSpec{c})
	}
	f.gradient = []spec{
		mlaKeysGradSpec{mlaKeysSpec{N: 3, H: 2, Nope: 3, Rope: 4, Value: 2}},
		mlaKeysGradSpec{mlaKeysSpec{N: 3, H: 2, Nope: 3, Rope: 4, Value: 2, Interleaved: true}},
	}
	f.bench = []spec{mlaKeysGradSpec{mlaKeysSpec{N: 512, H: 16, Nope: 128, Rope: 64, Value: 128, Interleaved: true}}}
	return f
}

func (mlaKeysGradSpec) op() string { return "MLAKeysGrad" }

func (c mlaKeysGradSpec) build(s *setup) {
	dK, dV := s.read("DK", rows, c.N, c.H, c.Nope+c.Rope), s.read("DV", rows, c.N, c.H, c.Value)
	dUp, dKR := s.write("DUp", rows, c.N, c.H, c.Nope+c.Value), s.write("DKR", rows, c.N, c.Rope)
	pos, cos, sin := s.angles(c.N, c.Rope)
	s.op = &backend.MLAKeysGrad{
		DUp: dUp.view, DKR: dKR.view, DK: dK.view, DV: dV.view, Pos: pos.view, Cos: cos.view, Sin: sin.view,
		Interleaved: c.Interleaved,
	}
	s.flops = float64(c.N * c.Rope * (c.H + 3))
	turn := ropeSpec{N: c.N, H: 1, R: c.Rope, Interleaved: c.Interleaved}
	s.want = func() {
		up := make([]float64, c.N*c.H*(c.Nope+c.Value))
		sum, magnitude := make([]float64, c.N*c.Rope), make([]float64, c.N*c.Rope)
		for row := range c.N * c.H {
			at := row * (c.Nope + c.Value)
			copy(up[at:][:c.Nope], dK.vals[row*(c.Nope+c.Rope):])
			copy(up[at+c.Nope:][:c.Value], dV.vals[row*c.Value:])
			for j := range c.Rope {
				d := dK.vals[row*(c.Nope+c.Rope)+c.Nope+j]
				sum[row/c.H*c.Rope+j] += d
				magnitude[row/c.H*c.Rope+j] += math.Abs(d)
			}
		}
		for i, v := range up {
			dUp.expect(i, v, 0)
		}
		back, _ := turn.rotate(sum, pos.vals, cos.vals, sin.vals, true)
		_, size := turn.rotate(magnitude, pos.vals, cos.vals, sin.vals, true)
		for i, v := range back {
			dKR.expect(i, v, terms(c.H+2)*size[i])
		}
		input, kR := make([]float64, len(up)), make([]float64, len(sum))
		for _, x := range [][]float64{input, kR} {
			for i := range x {
				x[i] = s.rng.NormFloat64()
			}
		}
		loss := func() float64 {
			rotated, _ := turn.rotate(kR, pos.vals, cos.vals, sin.vals, false)
			l := 0.0
			for row := range c.N * c.H {
				from, key := input[row*(c.Nope+c.Value):], dK.vals[row*(c.Nope+c.Rope):]
				l += dot(from[:c.Nope], key) + dot(from[c.Nope:][:c.Value], dV.vals[row*c.Value:])
				l += dot(rotated[row/c.H*c.Rope:][:c.Rope], key[c.Nope:])
			}
			return l
		}
		s.gradient("Up", input, up, loss)
		s.gradient("KR", kR, back, loss)
	}
}
