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
	if p.Held() {
		if s.recording && p.Trainable {
			panic(fmt.Sprintf("tensor: parameter %s is held as %s for inference only", p.Name, p.Format))
		}
		p.mustKeepFormat()
		return p.packed.matrix
	}
	strided := backend.Matrix{Data: p.value.T(), Format: p.Format}
	if !s.inference || s.err != nil {
		return strided
	}
	if p.packed == nil {
		m, ok, err := p.panels(backend.PackedCopies)
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
		if err := p.b.Do(&backend.Pack{Dst: p.packed.matrix.Data, Src: strided.Data, Format: p.Format}); err != nil {
			s.Fail(fmt.Errorf("tensor: pack %s: %w", p.Name, err))
			return strided
		}
		st.Copy = st.Weights
	}
	return p.packed.matrix
}

// mustKeepFormat panics if Format changed since p was packed: its products would
// no longer be those of training, or of the values it holds.
func (p *Param) mustKeepFormat() {
	if f := p.packed.matrix.Format; f != p.Format {
		panic(fmt.Sprintf("tensor: parameter %s is packed as %s, but its format is now %s", p.Name, f, p.Format))
	}
}

// transposed is the right side of the product that a backward pass needs: p's
// value, [out, in] or [E, out, in], in place. A parameter held packed has no such
// form: it panics.
func (p *Param) transposed() backend.Matrix {
	return backend.Matrix{Data: p.Value(), Format: p.Format}
}

// panels allocates memory of h for a packed copy; ok is false where the backend does
// not pack this parameter.
func (p *Param) panels(h backend.Holder) (m backend.Matrix, ok bool, err error) {
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
	return backend.Matrix{Data: v, Layout: backend.Panels, Format: p.Format, K: k, N: n}, true, nil
}

// Hold packs a matrix in its Format and gives the master value back: from then
// on p serves inference only, in less memory.
func (p *Param) Hold() error {
	if p.Held() {
		return nil
	}
	if p.value.Rank < 2 {
		return fmt.Errorf("tensor: hold %s %v: want a matrix or a stack of them", p.Name, p.Shape())
	}
	m, ok, err := p.panels(backend.Parameters)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("tensor: hold %s: %s has no packed layout of format %s for %s", p.Name, p.b.Name(), p.Format, p.value.DType)
	}
	if err := p.b.Do(&backend.Pack{Dst: m.Data, Src: p.value.T(), Format: p.Format}); err != nil {
		p.b.Free(m.Data.Buf)
		return fmt.Errorf("tensor: hold %s: %w", p.Name, err)
	}
	p.Free()
	p.value.Buf, p.grad, p.Trainable = nil, backend.View{}, false
	p.packed = &packed{matrix: m}
	return nil
}

// Held reports whether p has only its packed copy.
func (p *Param) Held() bool { return p.packed != nil && p.packed.state == nil }

// Bytes is the memory of the value, in whatever form it is held.
func (p *Param) Bytes() int {
	if p.Held() {
		return p.packed.matrix.Data.Buf.Bytes()
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
