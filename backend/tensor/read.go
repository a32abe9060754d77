package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// ReadRows copies the rows of p that begin at row first to dst as float32; dst has the
// length of a whole number of rows. For a packed parameter these are the values that
// products with it use. Rows are counted over all dimensions but the last, as for
// [RowWriter.Set].
func (p *Param) ReadRows(first int, dst []float32) error {
	width := p.value.Len() / p.rows()
	n := len(dst) / width
	if n*width != len(dst) || first < 0 || first+n > p.rows() {
		panic(fmt.Sprintf("tensor: ReadRows: %d elements from row %d on of parameter %s %v", len(dst), first, p.Name,
			p.Shape()))
	}
	p.mustBeSet()
	s := NewScope(p.b, Options{})
	defer s.Close()
	for done := 0; done < n; {
		count := n - done
		var v backend.View
		if p.Packed() { // one matrix of a stack at a time
			out := p.value.Dim(-2)
			count = min(count, out-(first+done)%out)
			v = p.unpackRows(s, first+done, count)
		} else {
			v = backend.NewView(p.value.Buf, p.value.DType, count, width)
			v.Offset = p.value.Offset + first*width
		}
		if err := download32(s, v, dst[done*width:][:count*width]); err != nil {
			return fmt.Errorf("tensor: read rows %d to %d of %s: %w", first, first+n, p.Name, err)
		}
		done += count
		s.Reset()
	}
	return nil
}

// unpackRows returns n rows of one matrix of a packed parameter in its master dtype.
func (p *Param) unpackRows(s *Scope, first, n int) backend.View {
	out := p.value.Dim(-2)
	m := p.packed.matrix
	if p.value.Rank == 3 {
		m = m.Index(first / out)
	}
	index := make([]int32, n)
	for i := range index {
		index[i] = int32(first%out + i)
	}
	t := s.alloc(p.value.DType, n, p.value.Dim(-1))
	s.do(&backend.Unpack{Dst: t.view.T(), Src: m, Index: s.Ints(index, n).view})
	return t.view
}

// download32 downloads contiguous elements as float32.
func download32(s *Scope, v backend.View, dst []float32) error {
	if v.DType != backend.F32 {
		t := s.alloc(backend.F32, v.Dims()...)
		s.do(&backend.Copy{Dst: t.view, Src: v})
		v = t.view
	}
	if err := s.Err(); err != nil {
		return err
	}
	mem := make([]byte, 4*len(dst))
	if err := s.b.Download(mem, v.Buf, 4*v.Offset); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = float32(backend.F32.Get(mem, i))
	}
	return nil
}
