package backendtest

import (
	"math"
	"math/rand/v2"

	"github.com/aha-go/aha/backend"
)

// setup is one case: operands in host memory, the op on them and the expected results.
type setup struct {
	rng     *rand.Rand
	dt      backend.DType // dtype of activations
	strided bool
	packer  backend.Packer // nil if the backend does not pack

	operands  []*operand
	prelude   []backend.Op // ops to run before the op, such as Pack
	op        backend.Op
	want      func() // computes expected results and gradients
	flops     float64
	untouched float64 // bytes of operands that the op does not access, such as rows of a table
	skip      string  // why the case does not apply to this backend; "" if it does

	gradients []gradient
}

// hostBuffer stands in for device memory until the op is bound to a backend.
type hostBuffer struct{ mem []byte }

func (b *hostBuffer) Bytes() int { return len(b.mem) }

// layout says which strides of an operand the op's Check allows.
type layout uint8

const (
	free layout = iota // any strides
	rows               // contiguous last dimension
	flat               // contiguous
)

// operand is one operand: its place, its values, and the expected results if the op
// writes it.
type operand struct {
	name   string
	view   backend.View
	vals   []float64 // row-major, rounded to the dtype
	want   []float64 // nil if the op does not write it
	bound  []float64 // allowed error in units of roundoff; 0 means exact
	set    []bool    // whether element i has an expectation; others must keep their bits
	got    []float64 // what the backend wrote, where set
	opaque bool      // the content depends on the backend and is not compared
}

// guard is the number of poisoned elements around every operand, so that reads and writes
// past an operand are noticed.
const guard = 24

// poison fills memory that no operand covers with NaN, or with an index far out of range.
func poison(dt backend.DType, mem []byte) {
	x := math.NaN()
	if dt == backend.I32 {
		x = 0x7f00ff00
	}
	for i := range len(mem) / dt.Size() {
		dt.Put(mem, i, x)
	}
}

// operand adds an operand to the case. In a strided case its layout is random within l
// and, if repeat is set, may repeat elements.
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

// scatter gives v gaps, dimensions in random order and, if repeat is set, strides of 0.
// If unitStride is set, rows stay contiguous. It returns the extent in elements.
func (s *setup) scatter(v *backend.View, unitStride, repeat bool) int {
	order := s.rng.Perm(v.Rank)
	if unitStride {
		for i := range order {
			order[i] = v.Rank - 1 - i
		}
	}
	extent := 1
	if !unitStride && s.rng.IntN(2) == 0 {
		extent = 2
	}
	for i, d := range order {
		v.Strides[d] = extent
		if repeat && s.rng.IntN(6) == 0 && !(unitStride && i == 0) {
			v.Strides[d] = 0
			continue
		}
		extent = extent*max(v.Shape[d], 1) + s.rng.IntN(4)
		if unitStride && i == 0 && v.Rank == 1 {
			break
		}
	}
	return extent
}

// store writes the values of gen to o and reads them back, rounded to its dtype.
func (o *operand) store(gen func(i int) float64) *operand {
	mem := o.view.Buf.(*hostBuffer).mem
	o.view.Each(func(i, at int) { o.view.DType.Put(mem, at, gen(i)) })
	o.view.Each(func(i, at int) { o.vals[i] = o.view.DType.Get(mem, at) })
	return o
}

// read returns an operand of normally distributed values that the op only reads.
func (s *setup) read(name string, l layout, shape ...int) *operand {
	return s.readWith(name, l, s.normal(1), shape...)
}

func (s *setup) readWith(name string, l layout, gen func(i int) float64, shape ...int) *operand {
	return s.operand(name, s.activation(), l, true, shape).store(gen)
}

// activation returns the dtype of the next activation. If the case is BF16 and strided,
// some activations are F32, since ops take any mix.
func (s *setup) activation() backend.DType {
	if s.dt == backend.BF16 && s.strided && s.rng.IntN(4) == 0 {
		return backend.F32
	}
	return s.dt
}

// matrixOperand returns a right operand of a product, with the dtype of a parameter or,
// unless it will be packed, of an activation.
func (s *setup) matrixOperand(name string, packed bool, gen func(i int) float64, shape ...int) *operand {
	if packed || s.dt == backend.BF16 && s.rng.IntN(2) == 0 {
		return s.readStatWith(name, free, gen, shape...)
	}
	return s.readWith(name, free, gen, shape...)
}

// compute returns the dtype of statistics and parameters, and of the arithmetic.
func (s *setup) compute() backend.DType { return s.dt.Compute() }

// readStat is read for a statistic or a parameter.
func (s *setup) readStat(name string, l layout, shape ...int) *operand {
	return s.readStatWith(name, l, s.normal(1), shape...)
}

func (s *setup) readStatWith(name string, l layout, gen func(i int) float64, shape ...int) *operand {
	return s.operand(name, s.compute(), l, true, shape).store(gen)
}

// updateStat is update for a statistic or a parameter.
func (s *setup) updateStat(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.compute(), l, false, shape).store(s.normal(1))
}

// writeStat is write for a statistic or a parameter.
func (s *setup) writeStat(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.compute(), l, false, shape)
}

func (s *setup) ints(name string, l layout, gen func(i int) int, shape ...int) *operand {
	return s.operand(name, backend.I32, l, false, shape).store(func(i int) float64 { return float64(gen(i)) })
}

// update returns an operand of normally distributed values that the op reads and writes.
func (s *setup) update(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.activation(), l, false, shape).store(s.normal(1))
}

// write returns an operand that the op writes without reading it: its memory is poisoned.
func (s *setup) write(name string, l layout, shape ...int) *operand {
	return s.operand(name, s.activation(), l, false, shape)
}

func (s *setup) writeInts(name string, l layout, shape ...int) *operand {
	return s.operand(name, backend.I32, l, false, shape)
}

// expect requires element i to be want, within bound units of roundoff.
func (o *operand) expect(i int, want, bound float64) {
	if o.want == nil {
		o.want, o.bound, o.set = make([]float64, len(o.vals)), make([]float64, len(o.vals)), make([]bool, len(o.vals))
	}
	o.want[i], o.bound[i], o.set[i] = want, bound, true
}

// normal returns a generator of normally distributed numbers with standard deviation
// scale.
func (s *setup) normal(scale float64) func(int) float64 {
	return func(int) float64 { return scale * s.rng.NormFloat64() }
}

// mix returns a generator like normal that takes a third of its numbers from list.
func (s *setup) mix(scale float64, list ...float64) func(int) float64 {
	return func(int) float64 {
		if s.rng.IntN(3) == 0 {
			return list[s.rng.IntN(len(list))]
		}
		return scale * s.rng.NormFloat64()
	}
}

// below returns a generator of integers in [lo, n).
func (s *setup) below(lo, n int) func(int) int {
	return func(int) int { return lo + s.rng.IntN(max(n-lo, 1)) }
}

// gradient is the claim that g is the derivative of loss with respect to x.
type gradient struct {
	name string
	x, g []float64
	loss func() float64
}

func (s *setup) gradient(name string, x, g []float64, loss func() float64) {
	s.gradients = append(s.gradients, gradient{name, x, g, loss})
}

// dot returns Σ x·y.
func dot(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// magnitude returns Σ |x·y|.
func magnitude(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum += math.Abs(v * y[i])
	}
	return sum
}
