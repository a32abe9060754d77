package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// packed is a parameter's matrix in the backend's packed layout.
type packed struct {
	matrix backend.Matrix
	state  *backend.PackState // nil if there is no master value
}

// matrix returns p's value [out, in] or [E, out, in] transposed to [in, out], as the
// right operand of a product: a packed copy if the scope is for inference and the backend
// packs, else the strided value.
func (p *Param) matrix(s *Scope) backend.Matrix {
	if s.recording && p.Trainable {
		p.mustHaveBackward()
	}
	if p.Packed() {
		p.mustBeSet()
		p.mustKeepFormat()
		return p.packed.matrix
	}
	strided := p.strided()
	if !s.inference || s.err != nil {
		return strided
	}
	if p.packed == nil {
		m, ok, err := p.allocPacked(backend.PackedCopies)
		if err != nil {
			s.Fail(err)
		}
		if !ok {
			return strided
		}
		m.State = &backend.PackState{Weights: p.version, Copy: p.version - 1}
		p.packed = &packed{m, m.State}
	}
	p.mustKeepFormat()
	if st := p.packed.state; st.Copy != st.Weights {
		if err := p.b.Do(&backend.Pack{Dst: p.packed.matrix, Src: backend.MatrixOf(strided.Data)}); err != nil {
			s.Fail(fmt.Errorf("tensor: pack %s: %w", p.Name, err))
			return strided
		}
		st.Copy = st.Weights
	}
	return p.packed.matrix
}

// strided returns the master value transposed, as the right operand of a product. It
// panics if p is packed, since p then has no master value.
func (p *Param) strided() backend.Matrix {
	v := p.Value()
	return backend.Matrix{Data: v.T(), Format: p.Format}
}

// mustKeepFormat panics if Format changed after p was packed: products would no longer be
// those of training, or would not match the packed values.
func (p *Param) mustKeepFormat() {
	if f := p.packed.matrix.Format; f != p.Format {
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s, but its format is now %s", p.Name, f, p.Format))
	}
}

// transposed returns the right operand of the product that a backward pass needs: p's
// value [out, in] or [E, out, in], not transposed. If p is packed, it is unpacked to
// memory that release frees. If its format is ForwardOnly too, the product is Native: its
// result is the gradient of the forward product without the rounding of the left operand.
func (p *Param) transposed(s *Scope) (m backend.Matrix, release func()) {
	if !p.Packed() {
		p.mustHaveBackward()
		return backend.Matrix{Data: p.Value(), Format: p.Format}, func() {}
	}
	p.mustBeSet()
	p.mustKeepFormat()
	f := p.Format
	if f.ForwardOnly {
		f = backend.Native
	}
	g := s.newGradient(Tensor{view: p.value})
	if s.err == nil {
		s.do(&backend.Unpack{Dst: g.T(), Src: p.packed.matrix})
	}
	return backend.Matrix{Data: g.View, Format: f}, g.release
}

// mustHaveBackward panics if p's format or packed form has no backward pass: p then
// cannot be trained, nor be the head of a model that is.
func (p *Param) mustHaveBackward() {
	switch {
	case p.Packed():
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s: it cannot be trained, nor be the head of a model that is",
			p.Name, p.Format))
	case p.Format.ForwardOnly:
		panic(fmt.Sprintf("tensor: parameter %s: products in format %s have no backward", p.Name, p.Format))
	}
}

// allocPacked allocates memory for a packed copy and counts it for h. ok is false if the
// backend does not pack this parameter.
func (p *Param) allocPacked(h backend.Holder) (m backend.Matrix, ok bool, err error) {
	packer, ok := p.b.(backend.Packer)
	if !ok {
		return m, false, nil
	}
	n, k := p.value.Dim(-2), p.value.Dim(-1)
	dt, size := packer.PackedLen(p.Format, p.value.DType, k, n)
	if size == 0 {
		return m, false, nil
	}
	v := backend.NewView(nil, dt, append(p.Shape()[:p.value.Rank-2], size)...)
	buf, err := backend.AllocFor(p.b, h, v.Len()*dt.Size())
	if err != nil {
		return m, false, fmt.Errorf("tensor: packed copy of %s, %d elements of %s: %w", p.Name, v.Len(), dt, err)
	}
	v.Buf = buf
	return backend.Matrix{Data: v, Layout: backend.Packed, Format: p.Format, K: k, N: n}, true, nil
}

// Pack replaces a matrix, or a stack of matrices, by its packed form and frees the master
// value: p then needs less memory and cannot be trained. Products with it still pass
// gradients to their left operand, but LogProbs has no backward pass through it. If the
// backend has no packed layout for the format, elements and scales are stored strided.
func (p *Param) Pack() error {
	if p.Packed() {
		return nil
	}
	m, err := p.newPacked()
	if err != nil {
		return err
	}
	if p.isSet() {
		if err := p.b.Do(&backend.Pack{Dst: m, Src: backend.MatrixOf(p.value.T())}); err != nil {
			p.freeMatrix(m)
			return fmt.Errorf("tensor: pack %s: %w", p.Name, err)
		}
	}
	p.Free()
	p.becomePacked(m)
	return nil
}

// newPacked allocates the packed form of p.
func (p *Param) newPacked() (backend.Matrix, error) {
	if p.value.Rank < 2 {
		return backend.Matrix{}, fmt.Errorf("tensor: pack %s %v: want a matrix or a stack of them", p.Name, p.Shape())
	}
	m, ok, err := p.allocPacked(backend.Parameters)
	if f := p.Format; err == nil && !ok && f.BlockK > 0 && f.Width == 0 {
		return p.allocScaled()
	}
	if err == nil && !ok {
		err = fmt.Errorf("tensor: pack %s: %s has no packed layout of format %s for %s", p.Name, p.b.Name(), p.Format,
			p.value.DType)
	}
	return m, err
}

// allocScaled allocates p in the strided, scaled form, for a backend without a packed
// layout for its format: elements are laid out as in the master [out, in] or [E, out,
// in], and scales as in checkpoints.
func (p *Param) allocScaled() (m backend.Matrix, err error) {
	f, n, k := p.Format, p.value.Dim(-2), p.value.Dim(-1)
	down, across := (n+int(f.BlockN)-1)/int(f.BlockN), (k+int(f.BlockK)-1)/int(f.BlockK)
	m = backend.Matrix{Format: f}
	if m.Data, err = p.allocRaw(backend.Parameters, f.Element, p.Shape()...); err != nil {
		return m, err
	}
	shape := append(p.Shape()[:p.value.Rank-2], down, across)
	if m.Scale, err = p.allocRaw(backend.Parameters, f.Scale, shape...); err != nil {
		p.b.Free(m.Data.Buf)
		return m, err
	}
	m.Data, m.Scale = m.Data.T(), m.Scale.T()
	return m, nil
}

// freeMatrix frees the memory of m.
func (p *Param) freeMatrix(m backend.Matrix) {
	p.b.Free(m.Data.Buf)
	if m.Scale.Present() {
		p.b.Free(m.Scale.Buf)
	}
}

// becomePacked makes m the only form of p.
func (p *Param) becomePacked(m backend.Matrix) {
	p.value.Buf, p.grad, p.Trainable = nil, backend.View{}, false
	p.packed = &packed{matrix: m}
}

// Packed reports whether p has only a packed form and no master value.
func (p *Param) Packed() bool { return p.packed != nil && p.packed.state == nil }

// Bytes returns the memory of the value, packed or not.
func (p *Param) Bytes() int {
	if p.Packed() {
		n := p.packed.matrix.Data.Buf.Bytes()
		if s := p.packed.matrix.Scale; s.Present() {
			n += s.Buf.Bytes()
		}
		return n
	}
	return p.value.Len() * p.value.DType.Size()
}

// Repack refreshes the packed copies of parameters that changed since they were packed,
// so that recorded programs may run again.
func Repack(params []*Param) error {
	for _, p := range params {
		if p.packed == nil {
			continue
		}
		s := NewScope(p.b, Options{}) // packing allocates nothing in it
		p.matrix(s)
		if err := s.Err(); err != nil {
			return err
		}
	}
	return nil
}
