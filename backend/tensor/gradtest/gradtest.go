package gradtest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Options are the settings of Check.
type Options struct {
	// Tolerance is the largest relative error ‖g−ĝ‖/‖ĝ‖ of a parameter. If 0, it is 1e-6.
	Tolerance float64
	// Step is the distance by which an element is moved up and down. If 0, it is 1e-5.
	Step float64
	// Samples is the number of elements of each parameter that are compared, drawn with
	// Seed. If 0, all are.
	Samples int
	Seed    uint64
	// NoGrad lists parameters whose gradient must be absent or exactly 0. Their elements
	// are not moved.
	NoGrad []*tensor.Param
}

// Check computes the gradients of loss, a single element, with Scope.Backward and
// compares them with (loss(p+h) − loss(p−h))/2h for each parameter in params. Parameters
// must be F64 and on one backend. Check fails t
//
//   - if the relative error of a parameter exceeds the tolerance,
//   - if a parameter has no influence on the loss (list it in NoGrad if that is intended),
//   - if memory of the scope is still in use after Reset,
//   - if loss has other bits in a scope without gradients.
//
// loss must be a pure function of the parameters. It may read frozen parameters, but
// params must not contain them.
//
// Check restores the values and leaves the gradients at zero.
func Check(t testing.TB, params []*tensor.Param, loss func(s *tensor.Scope) tensor.Tensor, o Options) {
	t.Helper()
	if o.Tolerance == 0 {
		o.Tolerance = 1e-6
	}
	if o.Step == 0 {
		o.Step = 1e-5
	}
	c := checker{TB: t, o: o, loss: loss, b: params[0].Backend()}
	for _, p := range slices.Concat(params, o.NoGrad) {
		c.must(p.ZeroGrad())
	}
	base := c.backward()
	plain := tensor.NewScope(c.b, tensor.Options{})
	defer plain.Close()
	if v := c.eval(plain); math.Float64bits(v) != math.Float64bits(base) {
		t.Errorf("gradtest: loss is %v in a scope with gradients, %v without", base, v)
	}
	for _, p := range params {
		c.compare(plain, p)
	}
	for _, p := range o.NoGrad {
		if g := c.gradient(p); slices.ContainsFunc(g, func(x float64) bool { return x != 0 }) {
			t.Errorf("gradtest: %s: gradient %v, want none", p.Name, g)
		}
	}
	for _, p := range slices.Concat(params, o.NoGrad) {
		c.must(p.ZeroGrad())
	}
}

type checker struct {
	testing.TB
	o    Options
	loss func(s *tensor.Scope) tensor.Tensor
	b    backend.Backend
}

func (c *checker) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("gradtest: %v", err)
	}
}

// backward computes the gradients and returns the loss.
func (c *checker) backward() float64 {
	c.Helper()
	s := tensor.NewScope(c.b, tensor.Options{Grad: true})
	defer s.Close()
	l := c.loss(s)
	c.must(s.Backward(l))
	v, err := l.Item()
	c.must(err)
	s.Reset()
	if n := s.LiveBytes(); n != 0 {
		c.Errorf("gradtest: %d bytes of the scope still in use after Reset", n)
	}
	return v
}

func (c *checker) eval(s *tensor.Scope) float64 {
	c.Helper()
	v, err := c.loss(s).Item()
	c.must(err)
	s.Reset()
	return v
}

func (c *checker) gradient(p *tensor.Param) []float64 {
	c.Helper()
	if !p.HasGrad() {
		return nil
	}
	g, err := p.Grad()
	c.must(err)
	v, err := backend.Values(c.b, g)
	c.must(err)
	return v
}

// compare checks the gradient of one parameter.
func (c *checker) compare(s *tensor.Scope, p *tensor.Param) {
	c.Helper()
	if p.Value().DType != backend.F64 {
		c.Fatalf("gradtest: %s is %s, want F64", p.Name, p.Value())
	}
	values, err := p.Floats()
	c.must(err)
	grad := c.gradient(p)
	if grad == nil {
		c.Errorf("gradtest: %s: no gradient", p.Name)
		return
	}
	picked := c.pick(p.Len())
	var diff, norm float64
	for _, i := range picked {
		up := c.at(s, p, i, values[i]+c.o.Step)
		down := c.at(s, p, i, values[i]-c.o.Step)
		c.set(p, i, values[i])
		want := (up - down) / (values[i] + c.o.Step - (values[i] - c.o.Step))
		diff += (grad[i] - want) * (grad[i] - want)
		norm += want * want
	}
	e := math.Sqrt(diff / norm)
	c.Logf("gradtest: %s: relative error %.1e, norm %.1e, %d of %d elements, seed %d", p.Name, e, math.Sqrt(norm),
		len(picked), p.Len(), c.o.Seed)
	switch {
	case norm == 0:
		c.Errorf("gradtest: %s has no influence on the loss", p.Name)
	case !(e <= c.o.Tolerance):
		c.Errorf("gradtest: %s: relative error %.2e > %.0e", p.Name, e, c.o.Tolerance)
	}
}

// pick returns the indices of the elements to compare, in ascending order.
func (c *checker) pick(n int) []int {
	if c.o.Samples == 0 || c.o.Samples >= n {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	picked := rand.New(rand.NewPCG(c.o.Seed, uint64(n))).Perm(n)[:c.o.Samples]
	slices.Sort(picked)
	return picked
}

// at returns the loss with element i of p set to x.
func (c *checker) at(s *tensor.Scope, p *tensor.Param, i int, x float64) float64 {
	c.Helper()
	c.set(p, i, x)
	return c.eval(s)
}

func (c *checker) set(p *tensor.Param, i int, x float64) {
	c.Helper()
	v := p.Value().Reshape(p.Len())
	c.must(c.b.Upload(v.Buf, 8*(v.Offset+i), (*[8]byte)(unsafe.Pointer(&x))[:]))
	p.Touch()
}

// Normal returns a new trainable F64 parameter of normally distributed values with
// standard deviation spread, drawn with seed. It is freed when the test ends.
func Normal(t testing.TB, b backend.Backend, seed uint64, spread float64, name string, shape ...int) *tensor.Param {
	t.Helper()
	p, err := tensor.NewParam(b, name, backend.F64, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Free)
	if err := p.SetFloats(normals(seed, spread, p.Len())); err != nil {
		t.Fatal(err)
	}
	return p
}

func normals(seed uint64, spread float64, n int) []float64 {
	r := rand.New(rand.NewPCG(seed, 0x67726164))
	x := make([]float64, n)
	for i := range x {
		x[i] = spread * r.NormFloat64()
	}
	return x
}

// Project returns a loss, of shape [1], that depends on every element of x: the sum of x
// with fixed normal weights drawn with seed.
func Project(x tensor.Tensor, seed uint64) tensor.Tensor {
	w := x.Scope().Floats(x.DType(), normals(seed, 1, x.Len()), x.Shape()...)
	return tensor.Sum(tensor.Mul(x, w))
}
