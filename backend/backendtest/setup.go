package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// setup is one case in the making: operands in host memory, the op on them and
// what it must compute.
type setup struct {
	rng     *rand.Rand
	dt      backend.DType // of activations
	strided bool
	packer  backend.Packer // nil where the backend does not pack

	operands  []*operand
	prelude   []backend.Op // run before the op, such as Pack
	op        backend.Op
	want      func() // works out expectations and gradients
	flops     float64
	untouched float64 // bytes of operands that the op leaves alone, such as rows of a table
	skip      string  // why this backend cannot have this case; "" if it can

	gradients []gradient
}

// hostBuffer stands in for device memory until the op is bound to a backend.
type hostBuffer struct{ mem []byte }

func (b *hostBuffer) Bytes() int { return len(b.mem) }

// layout is how freely an operand may lie: what the op's Check leaves open.
type layout uint8

const (
	free layout = iota // any strides
	rows               // contiguous last dimension
	flat               // contiguous
)

// operand is one operand: its place, its values, and what the op must make of
// them.
type operand struct {
	name   string
	view   backend.View
	vals   []float64 // row-major, as its dtype holds them
	want   []float64 // nil if the op does not write it
	bound  []float64 // allowed error in units of roundoff; 0 is exact
	set    []bool    // whether element i has an expectation; others must keep their bits
	got    []float64 // what the backend wrote, where set
	opaque bool      // content is the backend's own affair
}

// guard surrounds every operand: NaN, or an index far outside, so that reading
// past an operand shows, as does writing there.
const guard = 24

// poison fills what no operand covers.
func poison(dt backend.DType, mem []byte) {
	x := math.NaN()
	if dt == backend.I32 {
		x = 0x7f00ff00
	}
	for i := range len(mem) / dt.Size() {
		dt.Put(mem, i, x)
	}
}

func (s *setup) operand(name string, dt backend.DType, l layout, repeat bool, shape []int) *operand {
	v := backend.NewView(nil, dt, shape...)
	extent := v.Len()
	if s.strided {
		if l != flat {
			extent = s.scatter(&v, l == rows, repeat)
		}
		v.Offset = 1 + s.rng.IntN(guard)
	}
	buf := &hostBuffer{mem: make([]byte, (v.Offset+extent+guard)*dt.Size())}
	poison(dt, buf.mem)
	v.Buf = buf
	o := &operand{name: name, view: v, vals: make([]float64, v.Len())}
	s.operands = append(s.operands, o)
	return o
}

// scatter gives v gaps, an order of dimensions other than row-major and, where
// it may repeat, strides of 0. It returns the extent in elements.
func (s *setup) scatter(v *backend.View, dense, repeat bool) int {
	order := s.rng.Perm(v.Rank)
	if dense {
		for i := range order {
			order[i] = v.Rank - 1 - i
		}
	}
	extent := 1
	if !dense && s.rng.IntN(2) == 0 {
		extent = 2
	}
	for i, d := range order {
		v.Strides[d] = extent
		if repeat && s.rng.IntN(6) == 0 && !(dense && i == 0) {
			v.Strides[d] = 0
			continue
		}
		extent = extent*max(v.Shape[d], 1) + s.rng.IntN(4)
		if dense && i == 0 && v.Rank == 1 {
			break
		}
	}
	return extent
}

// store puts the values of gen into o, then reads them back as its dtype holds
// them.
func (o *operand) store(gen func(i int) float64) *operand {
	mem := o.view.Buf.(*hostBuffer).mem
	o.view.Each(func(i, at int) { o.view.DType.Put(mem, at, gen(i)) })
	o.view.Each(func(i, at int) { o.vals[i] = o.view.DType.Get(mem, at) })
	return o
}

// read is an operand of normal values that the op only reads.
func (s *setup) read(name string, l layout, shape ...int) *operand {
	return s.readWith(name, l, s.normal(1), shape...)
}

func (s *setup) readWith(name string, l layout, gen func(i int) float64, shape ...int) *operand {
	return s.operand(name, s.activation(), l, true, shape).store(gen)
}

// activation is the dtype of the next operand that holds activations. Where the
// case is BF16 and strided, some are F32: ops take any mix.
func (s *setup) activation() backend.DType {
	if s.dt == backend.BF16 && s.strided && s.rng.IntN(4) == 0 {
		return backend.F32
	}
	return s.dt
}

// matrixOperand is a right operand of a product: a parameter or, unless it is to be
// packed, an activation.
func (s *setup) matrixOperand(name string, packed bool, gen func(i int) float64, shape ...int) *operand {
	if packed || s.dt == backend.BF16 && s.rng.IntN(2) == 0 {
		return s.readStatWith(name, free, gen, shape...)
	}
	return s.readWith(name, free, gen, shape...)
}

// compute is the dtype of statistics and parameters, and of the arithmetic.
func (s *setup) compute() backend.DType { return s.dt.Compute() }

// readStat is read for statistics and parameters.
func (s *setup) readStat(name string, l layout, shape ...int) *operand {
	return s.readStatWith(name, l, s.normal(1), shape...)
}

func (s *setup) readStatWith(name string, l layout, gen func(i int) float64, shape ...int) *operand {
	return s.operand(name, s.compute(), l, true, shape).store(gen)
}

// updateStat is update for statistics and parameters.
func (s *setup) updateStat(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.compute(), l, false, shape).store(s.normal(1))
}

// writeStat is write for statistics and parameters.
func (s *setup) writeStat(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.compute(), l, false, shape)
}

func (s *setup) ints(name string, l layout, gen func(i int) int, shape ...int) *operand {
	return s.operand(name, backend.I32, l, false, shape).store(func(i int) float64 { return float64(gen(i)) })
}

// update is an operand of normal values that the op reads and writes.
func (s *setup) update(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.activation(), l, false, shape).store(s.normal(1))
}

// write is an operand that the op writes without reading: its memory holds
// poison.
func (s *setup) write(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.activation(), l, false, shape)
}

func (s *setup) writeInts(name string, l layout, shape ...int) *operand {
	return s.operand(name, backend.I32, l, false, shape)
}

// expect requires element i to be want, give or take bound units of roundoff.
func (o *operand) expect(i int, want, bound float64) {
	if o.want == nil {
		o.want, o.bound, o.set = make([]float64, len(o.vals)), make([]float64, len(o.vals)), make([]bool, len(o.vals))
	}
	o.want[i], o.bound[i], o.set[i] = want, bound, true
}

// normal draws from the normal distribution.
func (s *setup) normal(scale float64) func(int) float64 {
	return func(int) float64 { return scale * s.rng.NormFloat64() }
}

// mix draws from the normal distribution and, a third of the time, from list.
func (s *setup) mix(scale float64, list ...float64) func(int) float64 {
	return func(int) float64 {
		if s.rng.IntN(3) == 0 {
			return list[s.rng.IntN(len(list))]
		}
		return scale * s.rng.NormFloat64()
	}
}

// below draws integers from [lo, n).
func (s *setup) below(lo, n int) func(int) int {
	return func(int) int { return lo + s.rng.IntN(max(n-lo, 1)) }
}

// gradient is a claim: g is the derivative of loss by x.
type gradient struct {
	name string
	x, g []float64
	loss func() float64
}

func (s *setup) gradient(name string, x, g []float64, loss func() float64) {
	s.gradients = append(s.gradients, gradient{name, x, g, loss})
}

// dot is Σ x·y.
func dot(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// magnitude is Σ |x·y|.
func magnitude(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += math.Abs(v * y[i])
	}
	return sum
}
