package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// RowWriter sets parameters a piece at a time, each piece in its final form at
// once: what fills those of Init.Uninitialized from a file. The zero value is ready
// for use; Close gives back the memory through which packed parameters are filled.
type RowWriter struct {
	b   backend.Backend
	buf backend.Buffer // at least as large as any piece so far
}

// Set overwrites rows first, first+1, … of p by data, whole rows of p's DType in
// row-major order, little-endian. The rows are those of all but the last dimension:
// row r of a stack [E, out, in] is row r%out of matrix r/out. The rows of a piece of
// a packed parameter lie in one matrix, begin at a multiple of backend.PackColumns
// in it, and end at one or with the matrix. Rows that have no values yet are set in
// ascending order.
func (w *RowWriter) Set(p *Param, first int, data []byte) error {
	width := p.value.Len() / p.rows() * p.value.DType.Size()
	n := len(data) / width
	switch {
	case len(data)%width != 0 || first < 0 || first+n > p.rows():
		panic(fmt.Sprintf("tensor: Set: %d bytes for rows from %d on of parameter %s %v", len(data), first, p.Name, p.Shape()))
	case first > p.set:
		panic(fmt.Sprintf("tensor: Set: rows from %d on of parameter %s before row %d", first, p.Name, p.set))
	case n == 0:
		return nil
	}
	var err error
	if p.Packed() {
		err = w.pack(p, first, n, data)
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

// pack packs n rows of data.
func (w *RowWriter) pack(p *Param, first, n int, data []byte) error {
	if w.buf == nil || w.b != p.b || w.buf.Bytes() < len(data) {
		w.Close()
		buf, err := backend.AllocFor(p.b, backend.Other, len(data))
		if err != nil {
			return err
		}
		w.b, w.buf = p.b, buf
	}
	if err := p.b.Upload(w.buf, 0, data); err != nil {
		return err
	}
	m, out := p.packed.matrix, p.value.Dim(-2)
	if p.value.Rank == 3 {
		m = m.Index(first / out)
	}
	src := backend.NewView(w.buf, p.value.DType, n, p.value.Dim(-1)).T()
	return p.b.Do(&backend.Pack{Dst: m, Src: backend.Dense(src), Column: first % out})
}

// Close gives the memory back.
func (w *RowWriter) Close() {
	if w.buf != nil {
		w.b.Free(w.buf)
		w.buf = nil
	}
}
