package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// packFormat packs matrices of n columns. Its units are matrices × panels.
type packFormat struct {
	*encoding
	n    int
	list []packItem
}

type packItem struct {
	dst []byte
	src operand[float32]
	k   int
}

// parts packs the right operands of f's parts, or the first one's for all.
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
	p.run(len(j.list)*ceil(j.n, asm.PanelWidth), packGrain(most), j)
	clear(j.list) // keeps no operand alive
}

func (j *packFormat) run(w *worker, lo, hi int) {
	for per := ceil(j.n, asm.PanelWidth); lo < hi; lo++ {
		t, col := &j.list[lo/per], lo%per*asm.PanelWidth
		n := min(asm.PanelWidth, j.n-col)
		dst, src := t.dst[lo%per*j.panelBytes(t.k):], t.src.from(col*t.src.cs)
		j.encoding.packOperand(dst, src, t.k, n, w)
	}
}

func (f *formatted) packMatrices(p *pool, o *backend.Pack) {
	k, n := o.Src.Dim(-2), o.Src.Dim(-1)
	j := &f.packer
	j.encoding, j.n, j.list = &encodings[o.Format], n, j.list[:0]
	matrices := 1
	if o.Src.Rank == 3 {
		matrices = o.Src.Shape[0]
	}
	size := j.packedBytes(k, n)
	if o.Dst.DType != j.dtype || o.Dst.Dim(-1)*j.dtype.Size() != size {
		panic(fmt.Errorf("cpu: Pack: Dst %v for Src %v as %s, want %d elements of %s a matrix", o.Dst, o.Src, o.Format, size/j.dtype.Size(), j.dtype))
	}
	dst := bytesOf(&o.Dst)
	for e := range matrices {
		if k > 0 && n > 0 {
			j.list = append(j.list, packItem{dst: dst[e*size:], src: operandOf[float32](&o.Src).matrix(0, e), k: k})
		}
	}
	j.do(p)
}

// unpackFormat is the job of Unpack for the formats other than Native. Its units
// are matrices × panels.
type unpackFormat struct {
	*backend.Unpack
	*encoding
}

func (j *unpackFormat) run(w *worker, lo, hi int) {
	o := j.Unpack
	k, n := o.Src.K, o.Src.N
	size, dst := j.packedBytes(k, n), operandOf[float32](&o.Dst)
	for per := ceil(n, asm.PanelWidth); lo < hi; lo++ {
		col := lo % per * asm.PanelWidth
		to := dst.matrix(0, lo/per)
		j.unpack(to.data[col*to.cs:], bytesOf(&o.Src.Data)[lo/per*size+lo%per*j.panelBytes(k):], k, min(asm.PanelWidth, n-col), to.rs, to.cs)
	}
}

func (b *CPU) unpackMatrices(o *backend.Unpack) {
	matrices := 1
	if o.Dst.Rank == 3 {
		matrices = o.Dst.Shape[0]
	}
	units := matrices * ceil(o.Src.N, asm.PanelWidth)
	switch {
	case o.Dst.Len() == 0:
	case o.Src.Format != backend.Native:
		b.pool.run(units, packGrain(o.Src.K), &unpackFormat{o, &encodings[o.Src.Format]})
	case o.Dst.DType == backend.F64:
		b.pool.run(units, packGrain(o.Src.K), (*unpackPanels[float64])(o))
	default:
		b.pool.run(units, packGrain(o.Src.K), (*unpackPanels[float32])(o))
	}
}

// unpackPanels is the job of Unpack for Native. Its units are matrices × panels.
type unpackPanels[T number] backend.Unpack

func (o *unpackPanels[T]) run(_ *worker, lo, hi int) {
	k, n := o.Src.K, o.Src.N
	size, dst := asm.PackedSize(k, n), operandOf[T](&o.Dst)
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
