package tensor

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// RowWriter sets parameters piece by piece and stores each piece in its final form at
// once. It fills parameters made with Init.Uninitialized from a file. The zero value is
// ready for use; Close frees the device memory that pieces pass through.
type RowWriter struct {
	b         backend.Backend
	raw, wide backend.Buffer // a piece as given, and in the master dtype
	scale     backend.Buffer // the scales of a piece
	least     backend.Buffer // the minimums of a piece
}

// Set overwrites the rows of p that begin at row first with data: whole rows of elements
// of dt in row-major order, little-endian. dt is any floating-point dtype. Rows are
// counted over all dimensions but the last: row r of a stack [E, out, in] is row r%out of
// matrix r/out. If p is packed, the rows of a piece must be in one matrix, begin at a
// multiple of backend.PackColumns in it, and end at such a multiple or with the matrix.
// Rows that have no values yet must be set in ascending order.
func (w *RowWriter) Set(p *Param, first int, dt backend.DType, data []byte) error {
	if !dt.IsFloat() {
		panic(fmt.Sprintf("tensor: Set: %s for parameter %s, want a floating-point dtype", dt, p.Name))
	}
	return w.set(p, first, dt, data, nil, nil)
}

// SetScaled overwrites rows of p with elements, scales and, if the format has them,
// minimums in the format of p. It stores them bit for bit. p must be packed in a format
// that has scales, such as backend.FP8. data are whole rows of Format.Element, one for
// each element even if Format.Width is less. scales and minimums are those of the blocks,
// [⌈rows/BlockN⌉, ⌈width/BlockK⌉] of Format.Scale, little-endian. Rows follow the rules
// of Set.
func (w *RowWriter) SetScaled(p *Param, first int, data, scales, minimums []byte) error {
	f := p.Format
	if !p.Packed() || f.BlockK == 0 {
		panic(fmt.Sprintf("tensor: SetScaled: parameter %s, packed %t in format %s, does not have elements with scales",
			p.Name, p.Packed(), f))
	}
	width := p.value.Len() / p.rows()
	down, across := blocks(len(data)/(width*f.Element.Size()), f.BlockN), blocks(width, f.BlockK)
	if len(scales) != down*across*f.Scale.Size() {
		panic(fmt.Sprintf("tensor: SetScaled: %d bytes of scales for %d bytes of parameter %s %v, want [%d %d] of %s",
			len(scales), len(data), p.Name, p.Shape(), down, across, f.Scale))
	}
	if want := (f.BlockValues() - 1) * len(scales); len(minimums) != want {
		panic(fmt.Sprintf("tensor: SetScaled: %d bytes of minimums for %d of scales of parameter %s in format %s, want %d",
			len(minimums), len(scales), p.Name, f, want))
	}
	return w.set(p, first, f.Element, data, scales, minimums)
}

// blocks returns the number of blocks of the given length that n elements need.
func blocks(n int, length uint16) int { return (n + int(length) - 1) / int(length) }

// set implements Set and, with scales, SetScaled.
func (w *RowWriter) set(p *Param, first int, dt backend.DType, data, scales, minimums []byte) error {
	width := p.value.Len() / p.rows()
	n := len(data) / (width * dt.Size())
	switch {
	case n*width*dt.Size() != len(data) || first < 0 || first+n > p.rows():
		panic(fmt.Sprintf("tensor: Set: %d bytes of %s for rows from %d on of parameter %s %v", len(data), dt, first,
			p.Name, p.Shape()))
	case first > p.set:
		panic(fmt.Sprintf("tensor: Set: rows from %d on of parameter %s before row %d", first, p.Name, p.set))
	case n == 0:
		return nil
	case p.Packed() && !p.packable(first, n):
		panic(fmt.Sprintf("tensor: Set: rows %d to %d of parameter %s %v, which is packed by %d rows of a matrix at a time",
			first, first+n, p.Name, p.Shape(), backend.PackColumns))
	}
	if w.b != p.b {
		w.Close()
		w.b = p.b
	}
	if err := w.write(p, first, n, dt, data, scales, minimums); err != nil {
		return fmt.Errorf("tensor: set rows %d to %d of %s: %w", first, first+n, p.Name, err)
	}
	p.set = max(p.set, first+n)
	p.Touch()
	return nil
}

// packable reports whether the n rows that begin at first can be packed by themselves.
func (p *Param) packable(first, n int) bool {
	out := p.value.Dim(-2)
	begin := first % out
	end := begin + n
	return begin%backend.PackColumns == 0 && (end == out || end < out && end%backend.PackColumns == 0)
}

func (w *RowWriter) write(p *Param, first, n int, dt backend.DType, data, scales, minimums []byte) error {
	master := p.value.DType
	width := p.value.Len() / p.rows()
	at := p.value.Offset + first*width
	if !p.Packed() && dt == master {
		return p.b.Upload(p.value.Buf, at*master.Size(), data)
	}
	src, err := w.piece(&w.raw, dt, n, width)
	if err != nil {
		return err
	}
	if err := p.b.Upload(w.raw, 0, data); err != nil {
		return err
	}
	if !p.Packed() {
		dst := backend.NewView(p.value.Buf, master, n, width)
		dst.Offset = at
		return backend.Do(p.b, &backend.Copy{Dst: dst, Src: src})
	}
	from := backend.Matrix{Data: src.T()}
	switch {
	case scales != nil:
		f := p.Format
		from.Format = f
		if from.Scale, err = w.blockValues(&w.scale, f, n, width, scales); err != nil {
			return err
		}
		if f.Min {
			if from.Min, err = w.blockValues(&w.least, f, n, width, minimums); err != nil {
				return err
			}
		}
	case dt != master:
		wide, err := w.piece(&w.wide, master, n, width)
		if err != nil {
			return err
		}
		if err := backend.Do(p.b, &backend.Copy{Dst: wide, Src: src}); err != nil {
			return err
		}
		from.Data = wide.T()
	}
	m, out := p.packed.matrix, p.value.Dim(-2)
	if p.value.Rank == 3 {
		m = m.Index(first / out)
	}
	return p.b.Do(&backend.Pack{Dst: m, Src: from, Column: first % out})
}

// blockValues uploads the scales or minimums of the blocks of n rows in format f to *buf.
func (w *RowWriter) blockValues(buf *backend.Buffer, f backend.Format, n, width int, values []byte) (backend.View,
	error) {
	v, err := w.piece(buf, f.Scale, blocks(n, f.BlockN), blocks(width, f.BlockK))
	if err != nil {
		return v, err
	}
	return v.T(), w.b.Upload(*buf, 0, values)
}

// piece returns a view [n, width] of dt in *buf, which it replaces if it is too small.
func (w *RowWriter) piece(buf *backend.Buffer, dt backend.DType, n, width int) (backend.View, error) {
	size := n * width * dt.Size()
	if *buf == nil || (*buf).Bytes() < size {
		w.free(buf)
		b, err := backend.AllocFor(w.b, backend.Other, size)
		if err != nil {
			return backend.View{}, err
		}
		*buf = b
	}
	return backend.NewView(*buf, dt, n, width), nil
}

func (w *RowWriter) free(buf *backend.Buffer) {
	if *buf != nil {
		w.b.Free(*buf)
		*buf = nil
	}
}

// Close frees the memory.
func (w *RowWriter) Close() {
	w.free(&w.raw)
	w.free(&w.wide)
	w.free(&w.scale)
	w.free(&w.least)
}
