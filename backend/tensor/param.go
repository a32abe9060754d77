package tensor

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
)

// Param is a trainable tensor: its master value, its gradient, and the name it
// has in checkpoints, logs and errors.
type Param struct {
	// Name is the Hugging Face checkpoint name. For a stack of experts it has
	// a * where the expert's number goes.
	Name string
	// Kind is what the parameter is to its model.
	Kind Kind
	// Trainable parameters get gradients and updates.
	Trainable bool
	// Decay says that weight decay applies (matrices, by convention).
	Decay bool
	// Format is the arithmetic of products with a matrix, forward and backward.
	// It is set before the first product.
	Format backend.Format

	b       backend.Backend
	value   backend.View
	grad    backend.View
	version uint64
	packed  *packed
	set     int // leading rows that have values, see RowWriter
}

// NewParam allocates a parameter of the given shape, filled with zeros. dt is
// F32, or F64 for test-only runs in double precision. A dimension below 1 panics;
// errors are the device's.
func NewParam(b backend.Backend, name string, dt backend.DType, shape ...int) (*Param, error) {
	return NewParamFor(b, backend.Parameters, name, dt, shape...)
}

// NewParamFor is NewParam for memory of another holder, such as the moments of
// an optimizer.
func NewParamFor(b backend.Backend, h backend.Holder, name string, dt backend.DType, shape ...int) (*Param, error) {
	mustHaveShape(name, shape)
	p := &Param{Name: name, Trainable: true, Decay: len(shape) > 1, b: b}
	v, err := p.alloc(h, dt, shape...)
	if err != nil {
		return nil, err
	}
	p.value = v
	p.set = p.rows()
	return p, nil
}

// mustHaveShape panics if a dimension of the parameter of that name is below 1.
func mustHaveShape(name string, shape []int) {
	for i, n := range shape {
		if n < 1 {
			panic(fmt.Sprintf("tensor: parameter %s %v: dimension %d is %d, want at least 1", name, slices.Clone(shape), i, n))
		}
	}
}

// alloc allocates zeros.
func (p *Param) alloc(h backend.Holder, dt backend.DType, shape ...int) (backend.View, error) {
	v, err := p.allocRaw(h, dt, shape...)
	if err != nil {
		return v, err
	}
	buf := v.Buf
	if err := p.b.Do(&backend.Fill{Dst: v}); err != nil {
		p.b.Free(buf)
		return v, fmt.Errorf("tensor: parameter %s: %w", p.Name, err)
	}
	return v, nil
}

// allocRaw allocates undefined content.
func (p *Param) allocRaw(h backend.Holder, dt backend.DType, shape ...int) (backend.View, error) {
	v := backend.NewView(nil, dt, shape...)
	buf, err := backend.AllocFor(p.b, h, v.Len()*dt.Size())
	if err != nil {
		return v, fmt.Errorf("tensor: parameter %s %s%v: %w", p.Name, dt, shape, err)
	}
	v.Buf = buf
	return v, nil
}

// Backend is the device p lives on.
func (p *Param) Backend() backend.Backend { return p.b }

// Value is the master value. Who writes to it calls Touch. A parameter that is
// packed (see Pack) has none, and one that waits for its values (see
// Init.Uninitialized) has none yet: it panics.
func (p *Param) Value() backend.View {
	if p.Packed() {
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s: it has no master value", p.Name,
			p.Format))
	}
	p.mustBeSet()
	return p.value
}

// rows is the number of rows of p as a matrix: the dimensions but the last.
func (p *Param) rows() int {
	if p.value.Rank == 0 {
		return 1
	}
	return p.value.Len() / p.value.Dim(-1)
}

func (p *Param) isSet() bool { return p.set == p.rows() }

// mustBeSet panics if p waits for values.
func (p *Param) mustBeSet() {
	if !p.isSet() {
		panic(fmt.Sprintf("tensor: parameter %s has no values yet: %d of %d rows were set", p.Name, p.set, p.rows()))
	}
}

// DType is the dtype of the master value, also of a parameter that is packed.
func (p *Param) DType() backend.DType { return p.value.DType }

// Shape is the dimensions of the value.
func (p *Param) Shape() []int { return p.value.Dims() }

// Len is the number of elements.
func (p *Param) Len() int { return p.value.Len() }

// Touch marks the value as changed: packed copies become outdated, except one
// that is all there is.
func (p *Param) Touch() {
	p.version++
	if p.packed != nil && !p.Packed() {
		p.packed.state.Weights = p.version
	}
}

// Version counts the changes of the value.
func (p *Param) Version() uint64 { return p.version }

// HasGrad reports whether a gradient was ever accumulated or asked for.
func (p *Param) HasGrad() bool { return p.grad.Present() }

// Grad is the accumulated gradient, allocated and zeroed at the first call.
func (p *Param) Grad() (backend.View, error) {
	if p.Packed() {
		return p.grad, fmt.Errorf("tensor: parameter %s is packed as %s: it has no gradient", p.Name,
			p.Format)
	}
	if !p.grad.Present() {
		g, err := p.alloc(backend.Gradients, p.value.DType, p.Shape()...)
		if err != nil {
			return g, err
		}
		p.grad = g
	}
	return p.grad, nil
}

// ZeroGrad clears the gradient.
func (p *Param) ZeroGrad() error {
	if !p.grad.Present() {
		return nil
	}
	return p.b.Do(&backend.Fill{Dst: p.grad})
}

// Free gives back the parameter's memory.
func (p *Param) Free() {
	if p.value.Present() {
		p.b.Free(p.value.Buf)
	}
	if p.grad.Present() {
		p.b.Free(p.grad.Buf)
	}
	if p.packed != nil {
		p.freeMatrix(p.packed.matrix)
	}
}

// SetFloats sets the value from host numbers in row-major order.
func (p *Param) SetFloats(data []float64) error {
	s := NewScope(p.b, Options{})
	defer s.Close()
	t := s.Floats(p.value.DType, data, p.Shape()...)
	if err := s.Err(); err != nil {
		return err
	}
	return p.setTo(t.view)
}

// Assign overwrites the value by t's, which has p's shape.
func (p *Param) Assign(t Tensor) error {
	s := scopeOf("Assign", t)
	if !slices.Equal(t.Shape(), p.Shape()) {
		panic(fmt.Sprintf("tensor: Assign: %s to %s %v", t, p.Name, p.Shape()))
	}
	if s.err != nil {
		return s.err
	}
	return p.setTo(t.View())
}

// setTo overwrites the value by v, which has its shape.
func (p *Param) setTo(v backend.View) error {
	var op backend.Op = &backend.Copy{Dst: p.value, Src: v}
	if p.Packed() {
		op = &backend.Pack{Dst: p.packed.matrix, Src: backend.Dense(v.T())}
	}
	if err := p.b.Do(op); err != nil {
		return fmt.Errorf("tensor: set %s: %w", p.Name, err)
	}
	p.set = p.rows()
	p.Touch()
	return nil
}

// Floats is the value as host numbers in row-major order: of a parameter that is
// packed, the values that products with it use.
func (p *Param) Floats() ([]float64, error) {
	s := NewScope(p.b, Options{})
	defer s.Close()
	p.mustBeSet()
	if !p.Packed() {
		return s.Constant(p.value).Values()
	}
	t := s.alloc(p.value.DType, p.Shape()...)
	s.do(&backend.Unpack{Dst: t.view.T(), Src: p.packed.matrix})
	return t.Values()
}

// In is the parameter as a tensor of s: on the tape if s records and p is
// trainable, its gradient going to p.
func (p *Param) In(s *Scope) Tensor {
	t := s.Constant(p.Value())
	if s.recording && p.Trainable {
		s.track([]*Tensor{&t}, nil, func(dy []gradient) {
			if g, ok := s.gradOf(p); ok {
				s.binary(backend.Add, g, g, dy[0].View)
			}
		})
	}
	return t
}

// gradOf is p's gradient block; ok is false, and the scope failed, if there is
// no memory for it or p is not among the parameters trained.
func (s *Scope) gradOf(p *Param) (backend.View, bool) {
	if s.trained != nil && s.trained.Get(p.Name) != p {
		s.Fail(fmt.Errorf("tensor: parameter %s has a gradient and would never be updated: "+
			"it is not among the parameters that are trained", p.Name))
		return backend.View{}, false
	}
	g, err := p.Grad()
	if err != nil {
		s.Fail(err)
		return g, false
	}
	return g, s.err == nil
}
