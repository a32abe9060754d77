package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// PackedLen is the length of a [k, n] matrix in panels of asm.PanelWidth
// columns, the last one padded with zeros.
func (b *CPU) PackedLen(f backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	switch {
	case f == backend.Native && (dt == backend.F32 || dt == backend.F64):
		return dt, asm.PackedSize(k, n)
	case f != backend.Native && (dt == backend.F32 || dt == backend.BF16):
		e := &encodings[f]
		return e.dtype, e.packedBytes(k, n) / e.dtype.Size()
	}
	return dt, 0
}

// packing copies a batch of K×N matrices into panels. Its units are panels.
type packing[T number] struct {
	dst    []T
	step   int // elements of dst from one matrix to the next
	src    operand[T]
	inner  int // size of the inner one of src's two batch dimensions
	k, n   int
	groups []int // where set, matrices whose group is empty are left out
}

// size is the length of one packed matrix.
func (p *packing[T]) size() int { return asm.PackedSize(p.k, p.n) }

func (p *packing[T]) run(_ *worker, lo, hi int) {
	for per := ceil(p.n, asm.PanelWidth); lo < hi; {
		e, u := lo/per, lo%per
		count := min(per-u, hi-lo)
		lo += count
		if p.groups != nil && p.groups[e] == p.groups[e+1] {
			continue
		}
		j := u * asm.PanelWidth
		src := p.src.data[e/p.inner*p.src.batch[0]+e%p.inner*p.src.batch[1]:]
		packPanels(p.dst[e*p.step+j*p.k:], src[j*p.src.cs:], p.k, min(count*asm.PanelWidth, p.n-j), p.src.rs, p.src.cs)
	}
}

// packAll packs the given number of matrices as s.pack says, one after the
// other, into the state's own memory.
func (s *products[T]) packAll(p *pool, matrices int) []T {
	s.pack.step = s.pack.size()
	s.pack.dst = s.reserve(matrices * s.pack.step)
	s.packInto(p, matrices)
	return s.pack.dst
}

func (s *products[T]) packInto(p *pool, matrices int) {
	if s.pack.k > 0 {
		p.run(matrices*ceil(s.pack.n, asm.PanelWidth), packGrain(s.pack.k), &s.pack)
	}
}

// packGrain is how many panels of k rows are worth handing to a thread.
func packGrain(k int) int { return 1 + 1024/max(k, 1) }

func (b *CPU) packMatrices(o *backend.Pack) {
	if o.Src.DType == backend.F64 {
		b.f64.packMatrices(b.pool, o)
	} else {
		b.f32.packMatrices(b.pool, o)
	}
}

func (s *products[T]) packMatrices(p *pool, o *backend.Pack) {
	src := operandOf[T](&o.Src)
	k, n := o.Src.Dim(-2), o.Src.Dim(-1)
	matrices := 1
	if o.Src.Rank == 3 {
		matrices = o.Src.Shape[0]
	}
	if want := asm.PackedSize(k, n); o.Dst.Dim(-1) != want {
		panic(fmt.Errorf("cpu: Pack: Dst %v for Src %v, want %d elements a matrix", o.Dst, o.Src, want))
	}
	s.pack = packing[T]{dst: data[T](&o.Dst), step: asm.PackedSize(k, n), src: src, inner: max(matrices, 1), k: k, n: n}
	s.packInto(p, matrices)
}

// packPanels is asm.PackB for either dtype.
func packPanels[T number](dst, b []T, k, n, rs, cs int) {
	if b, ok := any(b).([]float32); ok {
		asm.PackB(any(dst).([]float32), b, k, n, rs, cs)
		return
	}
	if k == 0 {
		return
	}
	for j := range ceil(n, asm.PanelWidth) * asm.PanelWidth {
		panel := dst[j/asm.PanelWidth*asm.PanelWidth*k+j%asm.PanelWidth:]
		for p := range k {
			if j < n {
				panel[p*asm.PanelWidth] = b[p*rs+j*cs]
			} else {
				panel[p*asm.PanelWidth] = 0
			}
		}
	}
}
