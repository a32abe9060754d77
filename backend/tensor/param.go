package tensor

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend"
)

// Param is a trainable tensor: its master value, its gradient, and its name in
// checkpoints, logs and errors.
type Param struct {
	// Name is the Hugging Face checkpoint name. For a stack of experts it has
	// a * where the expert's number goes.
	Name string
	// Kind is the role of the parameter in its model.
	Kind Kind
	// Trainable says that the parameter gets gradients and updates.
	Trainable bool
	// Decay says that weight decay applies (to matrices, by convention).
	Decay bool
	// Format is the format of products with a matrix, forward and backward. It must be
	// set before the first product.
	Format backend.Format

	b       backend.Backend
	value   backend.View
	grad    backend.View
	version uint64
	packed  *packed
	set     int // number of leading rows that have values, see RowWriter
}

// NewParam allocates a parameter of the given shape, filled with zeros. dt is F32, or F64
// for tests in double precision. A dimension below 1 panics; an error is a failure of the
// device.
func NewParam(b backend.Backend, name string, dt backend.DType, shape ...int) (*Param, error) {
	return NewParamFor(b, backend.Parameters, name, dt, shape...)
}

// NewParamFor is NewParam with the memory counted for another holder, such as the
// optimizer.
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

// alloc allocates memory filled with zeros.
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

// allocRaw allocates memory with undefined content.
func (p *Param) allocRaw(h backend.Holder, dt backend.DType, shape ...int) (backend.View, error) {
	v := backend.NewView(nil, dt, shape...)
	buf, err := backend.AllocFor(p.b, h, v.Len()*dt.Size())
	if err != nil {
		return v, fmt.Errorf("tensor: parameter %s %s%v: %w", p.Name, dt, shape, err)
	}
	v.Buf = buf
	return v, nil
}

// Backend returns the device of p.
func (p *Param) Backend() backend.Backend { return p.b }

// Value returns the master value. Call Touch after writing to it. Value panics if p is
// packed (see Pack), since p then has no master value, and if p has no values yet (see
// Init.Uninitialized).
func (p *Param) Value() backend.View {
	if p.Packed() {
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s: it has no master value", p.Name,
			p.Format))
	}
	p.mustBeSet()
	return p.value
}

// rows returns the number of rows of p as a matrix: the product of all dimensions but the
// last.
func (p *Param) rows() int {
	if p.value.Rank == 0 {
		return 1
	}
	return p.value.Len() / p.value.Dim(-1)
}

func (p *Param) isSet() bool { return p.set == p.rows() }

// mustBeSet panics if p has no values yet.
func (p *Param) mustBeSet() {
	if !p.isSet() {
		panic(fmt.Sprintf("tensor: parameter %s has no values yet: %d of %d rows were set", p.Name, p.set, p.rows()))
	}
}

// DType returns the dtype of the master value, even if p is packed.
func (p *Param) DType() backend.DType { return p.value.DType }

// Shape returns the dimensions of the value.
func (p *Param) Shape() []int { return p.value.Dims() }

// Len returns the number of elements.
func (p *Param) Len() int { return p.value.Len() }

// Touch marks the value as changed: a packed copy becomes outdated, unless it is the only
// form of p.
func (p *Param) Touch() {
	p.version++
	if p.packed != nil && !p.Packed() {
		p.packed.state.Weights = p.version
	}
}

// Version returns the number of changes of the value.
func (p *Param) Version() uint64 { return p.version }

// HasGrad reports whether the gradient has been allocated, by a backward pass or by Grad.
func (p *Param) HasGrad() bool { return p.grad.Present() }

// Grad returns the accumulated gradient. The first call allocates it, filled with zeros.
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

// Free frees the parameter's memory.
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

// Assign overwrites the value with that of t, which has the shape of p.
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

// setTo overwrites the value with v, which has the same shape.
func (p *Param) setTo(v backend.View) error {
	var op backend.Op = &backend.Copy{Dst: p.value, Src: v}
	if p.Packed() {
		op = &backend.Pack{Dst: p.packed.matrix, Src: backend.MatrixOf(v.T())}
	}
	if err := p.b.Do(op); err != nil {
		return fmt.Errorf("tensor: set %s: %w", p.Name, err)
	}
	p.set = p.rows()
	p.Touch()
	return nil
}

// Floats returns the value as host numbers in row-major order. For a packed parameter
// these are the values that products with it use.
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

// In returns the parameter as a tensor of s. If s records gradients and p is trainable,
// the tensor is on the tape and its gradient is added to that of p.
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

// gradOf returns the gradient of p. If there is no memory for it, or p is not among the
// parameters that are trained, ok is false and the scope fails.
func (s *Scope) gradOf(p *Param) (backend.View, bool) {
	if s.trained != nil && s.trained.Get(p.Name) != p {
		s.Fail(fmt.Errorf("tensor: parameter %s has a gradient and would never be updated: "+
			"it is not among the trained parameters", p.Name))
		return backend.View{}, false
	}
	g, err := p.Grad()
	if err != nil {
		s.Fail(err)
		return g, false
	}
	return g, s.err == nil
}
