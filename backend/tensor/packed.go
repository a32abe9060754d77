package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// packed is a copy of a parameter in the backend's panel layout.
type packed struct {
	matrix backend.Matrix
	state  *backend.PackState // nil where the copy is all there is
}

// matrix is p's value [out, in] or [E, out, in] transposed to [in, out], as
// the right side of a product: packed where the scope is for inference and the
// backend has a packed layout, strided otherwise.
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
		if err := p.b.Do(&backend.Pack{Dst: p.packed.matrix, Src: backend.Dense(strided.Data)}); err != nil {
			s.Fail(fmt.Errorf("tensor: pack %s: %w", p.Name, err))
			return strided
		}
		st.Copy = st.Weights
	}
	return p.packed.matrix
}

// strided is the master value transposed, as the right side of a product. A
// parameter that is packed has none: it panics.
func (p *Param) strided() backend.Matrix {
	v := p.Value()
	return backend.Matrix{Data: v.T(), Format: p.Format}
}

// mustKeepFormat panics if Format changed since p was packed: its products would
// no longer be those of training, or of the values it holds.
func (p *Param) mustKeepFormat() {
	if f := p.packed.matrix.Format; f != p.Format {
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s, but its format is now %s", p.Name, f, p.Format))
	}
}

// transposed is the right side of the product that a backward pass needs: p's value,
// [out, in] or [E, out, in], in place. Where p is packed, it is unpacked to memory
// that release gives back, and the product is Native if the format is forward only:
// the gradient of the forward product but for the rounding of its left operand.
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

// mustHaveBackward panics if p cannot train, or be a head that is trained through.
func (p *Param) mustHaveBackward() {
	switch {
	case p.Packed():
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s: it cannot train, or be the head of a model that does",
			p.Name, p.Format))
	case p.Format.ForwardOnly:
		panic(fmt.Sprintf("tensor: parameter %s: products in format %s have no backward", p.Name, p.Format))
	}
}

// allocPacked allocates memory of h for a packed copy; ok is false where the backend
// does not pack this parameter.
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

// Pack turns a matrix, or a stack of them, into its packed form and gives the
// master value back: from then on p is frozen, in less memory. Products with it pass
// gradients on to their left operand; LogProbs of it has no backward.
// Where the backend has no packed layout of the format, elements and scales are strided.
func (p *Param) Pack() error {
	if p.Packed() {
		return nil
	}
	m, err := p.newPacked()
	if err != nil {
		return err
	}
	if p.isSet() {
		if err := p.b.Do(&backend.Pack{Dst: m, Src: backend.Dense(p.value.T())}); err != nil {
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

// allocScaled allocates the strided form of p in a format with scales, for a backend
// without a layout of its own: elements as the master [out, in], or [E, out, in], and
// scales as checkpoints have them.
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

// freeMatrix gives back the memory of m.
func (p *Param) freeMatrix(m backend.Matrix) {
	p.b.Free(m.Data.Buf)
	if m.Scale.Present() {
		p.b.Free(m.Scale.Buf)
	}
}

func (p *Param) becomePacked(m backend.Matrix) {
	p.value.Buf, p.grad, p.Trainable = nil, backend.View{}, false
	p.packed = &packed{matrix: m}
}

// Packed reports whether p has only its packed form.
func (p *Param) Packed() bool { return p.packed != nil && p.packed.state == nil }

// Bytes is the memory of the value, in whatever form it is.
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
