package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// Param is a trainable tensor: its master value, its gradient, and the name it
// has in checkpoints, logs and errors.
type Param struct {
	// Name is the Hugging Face checkpoint name. For a stack of experts it has
	// a * where the expert's number goes.
	Name string
	// Trainable parameters get gradients and updates.
	Trainable bool
	// Decay says that weight decay applies (matrices, by convention).
	Decay bool

	b       backend.Backend
	value   backend.View
	grad    backend.View
	version uint64
	packed  *packed
}

// packed is a copy of a parameter in the backend's panel layout.
type packed struct {
	matrix backend.Matrix
	state  *backend.PackState
}

// NewParam allocates a parameter of the given shape, filled with zeros. dt is
// F32, or F64 for test-only runs in double precision.
func NewParam(b backend.Backend, name string, dt backend.DType, shape ...int) (*Param, error) {
	p := &Param{Name: name, Trainable: true, Decay: len(shape) > 1, b: b}
	v, err := p.alloc(dt, shape...)
	if err != nil {
		return nil, err
	}
	p.value = v
	return p, nil
}

func (p *Param) alloc(dt backend.DType, shape ...int) (backend.View, error) {
	v := backend.NewView(nil, dt, shape...)
	buf, err := p.b.Alloc(v.Len() * dt.Size())
	if err != nil {
		return v, fmt.Errorf("tensor: parameter %s %s%v: %w", p.Name, dt, shape, err)
	}
	v.Buf = buf
	if err := p.b.Do(&backend.Fill{Dst: v}); err != nil {
		p.b.Free(buf)
		return v, fmt.Errorf("tensor: parameter %s: %w", p.Name, err)
	}
	return v, nil
}

// Backend is the device p lives on.
func (p *Param) Backend() backend.Backend { return p.b }

// Value is the master value. Who writes to it calls Touch.
func (p *Param) Value() backend.View { return p.value }

// Shape is the dimensions of the value.
func (p *Param) Shape() []int { return p.value.Dims() }

// Len is the number of elements.
func (p *Param) Len() int { return p.value.Len() }

// Touch marks the value as changed: packed copies become outdated.
func (p *Param) Touch() {
	p.version++
	if p.packed != nil {
		p.packed.state.Weights = p.version
	}
}

// Version counts the changes of the value.
func (p *Param) Version() uint64 { return p.version }

// HasGrad reports whether a gradient was ever accumulated or asked for.
func (p *Param) HasGrad() bool { return p.grad.Present() }

// Grad is the accumulated gradient, allocated and zeroed at the first call.
func (p *Param) Grad() (backend.View, error) {
	if !p.grad.Present() {
		g, err := p.alloc(p.value.DType, p.Shape()...)
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
	p.b.Free(p.value.Buf)
	if p.grad.Present() {
		p.b.Free(p.grad.Buf)
	}
	if p.packed != nil {
		p.b.Free(p.packed.matrix.Data.Buf)
	}
}

// SetFloats sets the value from host numbers in row-major order.
func (p *Param) SetFloats(data []float64) error {
	s := NewScope(p.b, Options{})
	defer s.Close()
	t := s.Floats(p.value.DType, data, p.Shape()...)
	s.do(&backend.Copy{Dst: p.value, Src: t.view})
	p.Touch()
	return s.Err()
}

// Floats is the value as host numbers in row-major order.
func (p *Param) Floats() ([]float64, error) {
	s := NewScope(p.b, Options{})
	defer s.Close()
	return s.Constant(p.value).Values()
}

// In is the parameter as a tensor of s: on the tape if s records and p is
// trainable, its gradient going to p.
func (p *Param) In(s *Scope) Tensor {
	t := s.Constant(p.value)
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
// no memory for it.
func (s *Scope) gradOf(p *Param) (backend.View, bool) {
	g, err := p.Grad()
	if err != nil {
		s.Fail(err)
		return g, false
	}
	return g, s.err == nil
}

// matrix is p's value [out, in] or [E, out, in] transposed to [in, out], as
// the right side of a product: packed where the scope is for inference and the
// backend has a packed layout, strided otherwise.
func (p *Param) matrix(s *Scope) backend.Matrix {
	dense := backend.Dense(p.value.T())
	packer, ok := p.b.(backend.Packer)
	if !s.inference || !ok || s.err != nil {
		return dense
	}
	n, k := p.value.Dim(-2), p.value.Dim(-1)
	size := packer.PackedLen(p.value.DType, k, n)
	if size == 0 {
		return dense
	}
	if p.packed == nil {
		lead := append(p.Shape()[:p.value.Rank-2], size)
		v, err := p.alloc(p.value.DType, lead...)
		if err != nil {
			s.Fail(err)
			return dense
		}
		state := &backend.PackState{Weights: p.version, Copy: p.version - 1}
		p.packed = &packed{backend.Matrix{Data: v, Layout: backend.Panels, K: k, N: n, State: state}, state}
	}
	if st := p.packed.state; st.Copy != st.Weights {
		if err := p.b.Do(&backend.Pack{Dst: p.packed.matrix.Data, Src: dense.Data}); err != nil {
			s.Fail(fmt.Errorf("tensor: pack %s: %w", p.Name, err))
			return dense
		}
		st.Copy = st.Weights
	}
	return p.packed.matrix
}

// Repack refreshes the packed copies of those parameters that have one and
// changed since, so that recorded programs may run again.
func Repack(params []*Param) error {
	for _, p := range params {
		if p.packed == nil {
			continue
		}
		s := NewScope(p.b, Options{}) // packing needs no memory of it
		p.matrix(s)
		if err := s.Err(); err != nil {
			return err
		}
	}
	return nil
}
