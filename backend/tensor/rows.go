package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// SetRows overwrites rows first, first+1, … of p by data, whole rows of DType in
// row-major order, little-endian. The rows are those of all but the last
// dimension: row r of a stack [E, out, in] is row r%out of matrix r/out. A packed
// parameter takes each piece in its final form: the rows of a piece lie in one
// matrix, begin at a multiple of backend.PackColumns in it, and end at one or with
// the matrix.
//
// Parameters made by Init.Uninitialized are filled by it, in ascending order.
func (p *Param) SetRows(first int, data []byte) error {
	width := p.value.Len() / p.rows() * p.value.DType.Size()
	n := len(data) / width
	switch {
	case len(data)%width != 0 || first < 0 || first+n > p.rows():
		panic(fmt.Sprintf("tensor: SetRows: %d bytes for rows from %d on of parameter %s %v", len(data), first, p.Name, p.Shape()))
	case first > p.set:
		panic(fmt.Sprintf("tensor: SetRows: rows from %d on of parameter %s before row %d", first, p.Name, p.set))
	case n == 0:
		return nil
	}
	var err error
	if p.Packed() {
		err = p.packRows(first, n, data)
	} else {
		err = p.b.Upload(p.value.Buf, p.value.Offset*p.value.DType.Size()+first*width, data)
	}
	if err != nil {
		return fmt.Errorf("tensor: set rows %d to %d of %s: %w", first, first+n, p.Name, err)
	}
	p.set = max(p.set, first+n)
	p.Touch()
	return nil
}

// packRows packs n rows of data.
func (p *Param) packRows(first, n int, data []byte) error {
	buf, err := backend.AllocFor(p.b, backend.Other, len(data))
	if err != nil {
		return err
	}
	defer p.b.Free(buf)
	if err := p.b.Upload(buf, 0, data); err != nil {
		return err
	}
	m, out := p.packed.matrix, p.value.Dim(-2)
	if p.value.Rank == 3 {
		m = m.Index(first / out)
	}
	src := backend.NewView(buf, p.value.DType, n, p.value.Dim(-1)).T()
	return p.b.Do(&backend.Pack{Dst: m, Src: backend.Dense(src), Column: first % out})
}
