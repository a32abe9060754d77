package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// packFormat is the job that packs matrices of n columns. It is split by
// matrices and runs of encoding.columns columns.
type packFormat struct {
	*encoding
	n    int
	list []packItem
}

type packItem struct {
	dst []byte
	src right
	k   int
}

// parts packs the right operands of f's parts, or only the first one's if
// shared.
func (j *packFormat) parts(p *pool, f *formatted, shared bool) {
	j.encoding, j.n, j.list = f.encoding, f.n, j.list[:0]
	for i := range f.parts {
		if t := &f.parts[i]; t.k > 0 && (i == 0 || !shared) {
			j.list = append(j.list, packItem{dst: f.right[t.panels:], src: t.b, k: t.k})
		}
	}
	j.do(p)
}

func (j *packFormat) do(p *pool) {
	most := 1
	for i := range j.list {
		most = max(most, j.list[i].k)
	}
	p.run(len(j.list)*ceil(j.n, j.columns), ceil(packGrain(most)*asm.PanelWidth, j.columns), j)
	clear(j.list) // releases the operands for garbage collection
}

func (j *packFormat) run(w *worker, lo, hi int) {
	for per := ceil(j.n, j.columns); lo < hi; lo++ {
		t, col := &j.list[lo/per], lo%per*j.columns
		dst, n := t.dst[col/asm.PanelWidth*j.panelBytes(t.k):], min(j.columns, j.n-col)
		j.encoding.packOperand(dst, t.src.columns(col), t.k, n, w)
	}
}

func (b *CPU) packFormatted(o *backend.Pack) error {
	e, err := b.encoded(o, &o.Dst)
	if err != nil {
		return err
	}
	if o.Dst.Layout == backend.Strided {
		if !e.format.Element.IsFloat() {
			return backend.Unsupported(b, o, "to separate scales in format "+e.format.String())
		}
		return b.quantise(o)
	}
	dst := e.packedBytesOf(o, &o.Dst)
	k, n := o.Src.Dims()
	j := &b.formatted.packer
	j.encoding, j.n, j.list = e, n, j.list[:0]
	matrices := 1
	if o.Src.Data.Rank == 3 {
		matrices = o.Src.Data.Shape[0]
	}
	size, first := e.packedBytes(k, o.Dst.N), o.Column/asm.PanelWidth*e.panelBytes(k)
	for i := range matrices {
		if k > 0 && n > 0 {
			j.list = append(j.list, packItem{dst: dst[i*size+first:], src: rightOf(&o.Src).matrix(0, i), k: k})
		}
	}
	j.do(b.pool)
	return nil
}

// unpackFormat is the job of Unpack for formats other than Native. It is split
// by matrices and panels or, if there is an Index, by columns of Dst.
type unpackFormat struct {
	*backend.Unpack
	*encoding
}

func (j *unpackFormat) run(w *worker, lo, hi int) {
	o, k := j.Unpack, j.Src.K
	panels, to := bytesOf(&o.Src.Data), operandOf[float32](&o.Dst)
	size, buf := j.packedBytes(k, o.Src.N), scratch[float32](w, k*asm.PanelWidth)
	for per := j.units(); lo < hi; lo++ {
		col, from, n := lo%per*asm.PanelWidth, lo%per*asm.PanelWidth, 0
		if o.Index.Present() {
			col, n = lo, 1
			id := at[int32](&o.Index, lo)
			if id < 0 {
				clear(buf[:k])
				to.from(col*to.cs).write(buf, k, 1, 1)
				continue
			}
			from = row("Unpack", "index", id, o.Src.N)
		} else {
			n = min(asm.PanelWidth, o.Src.N-col)
		}
		dst := to.matrix(0, lo/per).from(col * to.cs)
		panel, first := panels[lo/per*size+from/asm.PanelWidth*j.panelBytes(k):], from%asm.PanelWidth
		if dst.half == nil {
			j.unpack(dst.data, panel, k, first, n, dst.rs, dst.cs)
			continue
		}
		j.unpack(buf, panel, k, first, n, n, 1)
		dst.write(buf, k, n, n)
	}
}

// units returns the number of units of one matrix.
func (j *unpackFormat) units() int {
	if j.Index.Present() {
		return j.Index.Len()
	}
	return ceil(j.Src.N, asm.PanelWidth)
}

func (b *CPU) unpackMatrices(o *backend.Unpack) error {
	matrices := 1
	if o.Dst.Rank == 3 {
		matrices = o.Dst.Shape[0]
	}
	units := matrices * ceil(o.Src.N, asm.PanelWidth)
	if o.Index.Present() {
		units = o.Index.Len()
	}
	if o.Src.Format != backend.Native {
		e, err := b.encoded(o, &o.Src)
		if err != nil {
			return err
		}
		if o.Src.Layout == backend.Strided {
			if !e.format.Element.IsFloat() {
				return backend.Unsupported(b, o, "of separate scales in format "+e.format.String())
			}
			return b.dequantise(o)
		}
		e.packedBytesOf(o, &o.Src)
		if o.Dst.Len() > 0 {
			j := &b.formatted.unpacker
			*j = unpackFormat{o, e}
			b.pool.run(matrices*j.units(), packGrain(o.Src.K), j)
			*j = unpackFormat{} // releases the operands for garbage collection
		}
		return nil
	}
	switch {
	case o.Dst.DType == backend.BF16:
		return backend.Unsupported(b, o, "Native to BF16")
	case o.Dst.Len() == 0:
	case o.Dst.DType == backend.F64:
		b.pool.run(units, packGrain(o.Src.K), (*unpackPanels[float64])(o))
	default:
		b.pool.run(units, packGrain(o.Src.K), (*unpackPanels[float32])(o))
	}
	return nil
}

// unpackPanels is the job of Unpack for Native. It is split by matrices and
// panels or, if there is an Index, by columns of Dst.
type unpackPanels[T number] backend.Unpack

func (o *unpackPanels[T]) run(_ *worker, lo, hi int) {
	k, n := o.Src.K, o.Src.N
	size, dst := asm.PackedSize(k, n), operandOf[T](&o.Dst)
	if o.Index.Present() {
		for ; lo < hi; lo++ {
			id, from := at[int32](&o.Index, lo), 0
			if id >= 0 {
				from = row("Unpack", "index", id, n)
			}
			panel := data[T](&o.Src.Data)[from/asm.PanelWidth*asm.PanelWidth*k:]
			for p := range k {
				x := T(0)
				if id >= 0 {
					x = panel[p*asm.PanelWidth+from%asm.PanelWidth]
				}
				dst.data[p*dst.rs+lo*dst.cs] = x
			}
		}
		return
	}
	for per := ceil(n, asm.PanelWidth); lo < hi; lo++ {
		col := lo % per * asm.PanelWidth
		to := dst.matrix(0, lo/per)
		panel := data[T](&o.Src.Data)[lo/per*size+col*k:]
		for p := range k {
			for j := range min(asm.PanelWidth, n-col) {
				to.data[p*to.rs+(col+j)*to.cs] = panel[p*asm.PanelWidth+j]
			}
		}
	}
}
