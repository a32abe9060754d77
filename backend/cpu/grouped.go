package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// grouped is the work of GroupedMatMul. Units of rows are cut without regard
// to the groups; a range of rows runs over the groups that it meets.
type grouped[T number] struct {
	gemm[T]
	groups []int
}

func (g *grouped[T]) run(w *worker, lo, hi int) {
	first, last := g.groups[0], g.groups[len(g.groups)-1]
	i0, i1, j0, j1 := first, last, 0, g.n
	if g.byColumns {
		j0, j1 = lo*asm.PanelWidth, min(hi*asm.PanelWidth, g.n)
	} else {
		i0, i1 = first+lo*rowUnit, min(first+hi*rowUnit, last)
	}
	for e := range len(g.groups) - 1 {
		if from, to := max(i0, g.groups[e]), min(i1, g.groups[e+1]); from < to {
			a := g.a.data[from*g.a.rs:]
			c := g.c.data[from*g.c.rs+j0*g.c.cs:]
			g.multiply(w, to-from, j1-j0, g.k, a, g.b[e*g.bBatch[1]+j0*g.k:], c)
		}
	}
}

func (b *CPU) groupedMatMul(o *backend.GroupedMatMul) {
	groups := b.offsets(o, &o.Offsets, o.A.Shape[0])
	if o.C.DType == backend.F64 {
		b.f64.groupedMatMul(b.pool, o, groups)
	} else {
		b.f32.groupedMatMul(b.pool, o, groups)
	}
}

func (s *products[T]) groupedMatMul(p *pool, o *backend.GroupedMatMul, groups []int) {
	k, n := o.B.Dims()
	g := &s.grouped
	g.groups = groups
	g.gemm = gemm[T]{c: operandOf[T](&o.C), a: operandOf[T](&o.A), m: groups[len(groups)-1] - groups[0], n: n, k: k, batches: [2]int{1, 1}}
	if o.B.Layout == backend.Panels {
		g.b = panelsOf[T](o, &o.B)
		g.bBatch[1] = o.B.Data.Strides[0]
	} else {
		matrices := len(groups) - 1
		s.pack = packing[T]{src: operandOf[T](&o.B.Data), inner: max(matrices, 1), k: k, n: n, groups: groups}
		g.b = s.packAll(p, matrices)
		g.bBatch[1] = s.pack.step
	}
	units, grain := g.split(len(p.workers))
	p.run(units, grain, g)
}

// outer is the work of GroupedOuter: for group e, the product of A's rows
// transposed with B's rows. Its units are rowUnits of the rows of C[e].
type outer[T number] struct {
	gemm[T]
	groups []int
}

func (g *outer[T]) run(w *worker, lo, hi int) {
	for per := ceil(g.m, rowUnit); lo < hi; {
		e, u := lo/per, lo%per
		count := min(per-u, hi-lo)
		lo += count
		first, k := g.groups[e], g.groups[e+1]-g.groups[e]
		if k == 0 {
			continue
		}
		i0, i1 := u*rowUnit, min((u+count)*rowUnit, g.m)
		a := g.a.data[first*g.a.cs+i0*g.a.rs:]
		b := g.b[asm.PackedSize(first-g.groups[0], g.n):]
		g.multiply(w, i1-i0, g.n, k, a, b, g.c.data[e*g.c.batch[1]+i0*g.c.rs:])
	}
}

func (b *CPU) groupedOuter(o *backend.GroupedOuter) {
	groups := b.offsets(o, &o.Offsets, o.A.Shape[0])
	if o.C.DType == backend.F64 {
		b.f64.groupedOuter(b.pool, o, groups)
	} else {
		b.f32.groupedOuter(b.pool, o, groups)
	}
}

func (s *products[T]) groupedOuter(p *pool, o *backend.GroupedOuter, groups []int) {
	g := &s.outer
	rows := groups[len(groups)-1] - groups[0]
	b := operandOf[T](&o.B)
	g.groups = groups
	g.gemm = gemm[T]{
		c: operandOf[T](&o.C), a: operandOf[T](&o.A).transposed(), b: s.reserve(asm.PackedSize(rows, o.B.Shape[1])),
		m: o.A.Shape[1], n: o.B.Shape[1], k: rows, accumulate: true,
	}
	s.rows = packRows[T]{src: b, dst: g.b, n: g.n, groups: groups}
	matrices := len(groups) - 1
	p.run(matrices*ceil(g.n, asm.PanelWidth), packGrain(ceil(rows, max(matrices, 1))), &s.rows)
	units := matrices * ceil(g.m, rowUnit)
	work := rows * g.m * g.n / max(units, 1)
	p.run(units, max(ceil(pieceWork, max(work, 1)), ceil(units, 8*len(p.workers))), g)
}

// packRows packs the rows of each group of B as a matrix of its own, one after
// the other. Its units are groups × panels.
type packRows[T number] struct {
	dst    []T
	src    operand[T]
	n      int
	groups []int
}

func (p *packRows[T]) run(_ *worker, lo, hi int) {
	for per := ceil(p.n, asm.PanelWidth); lo < hi; {
		e, u := lo/per, lo%per
		count := min(per-u, hi-lo)
		lo += count
		first, k := p.groups[e], p.groups[e+1]-p.groups[e]
		if k == 0 {
			continue
		}
		j := u * asm.PanelWidth
		packPanels(p.dst[asm.PackedSize(first-p.groups[0], p.n)+j*k:], p.src.data[first*p.src.rs+j*p.src.cs:],
			k, min(count*asm.PanelWidth, p.n-j), p.src.rs, p.src.cs)
	}
}

// offsets reads the group boundaries of a ragged op over m rows.
func (b *CPU) offsets(op backend.Op, v *backend.View, m int) []int {
	x := data[int32](v)
	b.groups = b.groups[:0]
	for i := range v.Shape[0] {
		row := int(x[i*v.Strides[0]])
		if row < 0 || row > m || i > 0 && row < b.groups[i-1] {
			panic(fmt.Errorf("cpu: %s: Offsets[%d] = %d: want ascending offsets of %d rows", op.Name(), i, row, m))
		}
		b.groups = append(b.groups, row)
	}
	return b.groups
}
