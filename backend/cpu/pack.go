package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// PackedLen returns the dtype and the number of elements of a packed [k, n]
// matrix: panels of asm.PanelWidth columns, the last one padded with zeros. The
// length is 0 if there are no kernels for the format.
func (b *CPU) PackedLen(f backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	switch {
	case f == backend.Native && (dt == backend.F32 || dt == backend.F64):
		return dt, asm.PackedSize(k, n)
	case f != backend.Native && (dt == backend.F32 || dt == backend.BF16):
		if e := encodingOf(f); e != nil {
			return e.dtype, e.packedBytes(k, n) / e.dtype.Size()
		}
	}
	return dt, 0
}

func (b *CPU) packMatrices(o *backend.Pack) error {
	switch {
	case o.Dst.Format != backend.Native:
		return b.packFormatted(o)
	case o.Src.Data.DType == backend.F64:
		b.f64.packMatrices(b.pool, o)
	default:
		b.f32.packMatrices(b.pool, o)
	}
	return nil
}

func (s *products[T]) packMatrices(p *pool, o *backend.Pack) {
	k, n := o.Src.Dims()
	matrices := 1
	if o.Src.Data.Rank == 3 {
		matrices = o.Src.Data.Shape[0]
	}
	want := asm.PackedSize(k, o.Dst.N)
	if o.Dst.Data.Dim(-1) != want {
		panic(fmt.Errorf("cpu: Pack: Dst %v for Src %v, want %d elements a matrix", o.Dst.Data, o.Src.Data, want))
	}
	if k == 0 || matrices*n == 0 {
		return
	}
	s.pack = packing[T]{dst: data[T](&o.Dst.Data)[o.Column*k:], src: operandOf[T](&o.Src.Data), k: k, n: n, step: want}
	p.run(matrices*ceil(n, asm.PanelWidth), packGrain(k), &s.pack)
}

// packGrain returns how many panels of k rows to hand to a thread at once: whole
// groups of four, which are packed together if their columns are adjacent.
func packGrain(k int) int { return 4 * ceil(256, max(k, 1)) }

// packing is the job that copies matrices into panels, one after the other. It
// is split by panels.
type packing[T number] struct {
	dst  []T
	src  operand[T]
	k, n int
	step int // elements from the start of one packed matrix to the next
}

// size returns the length of one packed matrix.
func (p *packing[T]) size() int { return asm.PackedSize(p.k, p.n) }

func (p *packing[T]) run(_ *worker, lo, hi int) {
	for per := ceil(p.n, asm.PanelWidth); lo < hi; {
		e, j := lo/per, lo%per*asm.PanelWidth
		count := min(per-lo%per, hi-lo)
		lo += count
		src := p.src.from(e*p.src.batch[1] + j*p.src.cs)
		packOperand(p.dst[e*p.step+j*p.k:], src, p.k, min(count*asm.PanelWidth, p.n-j))
	}
}

// packOperand packs the k×n matrix at the start of b. It widens BF16 block by
// block: four panels wide if rows are contiguous, else one panel.
func packOperand[T number](dst []T, b operand[T], k, n int) {
	if b.half == nil {
		packPanels(dst, b.data, k, n, b.rs, b.cs)
		return
	}
	width, depth := asm.PanelWidth, 112
	if b.cs == 1 {
		width, depth = 4*asm.PanelWidth, 28
	}
	var block [112 * asm.PanelWidth]T
	for j := 0; j < n; j += width {
		for p := 0; p < k; p += depth {
			rows, cols := min(depth, k-p), min(width, n-j)
			x := b.from(p*b.rs+j*b.cs).whole(rows, cols, block[:])
			for q := 0; q < cols; q += asm.PanelWidth {
				panel := dst[(j+q)*k+p*asm.PanelWidth:][:rows*asm.PanelWidth]
				packPanels(panel, x.data[q*x.cs:], rows, min(asm.PanelWidth, cols-q), x.rs, x.cs)
			}
		}
	}
}

// packPanels is asm.PackB for float32 or float64.
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
