package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

func (b *CPU) groupedMatMul(o *backend.GroupedMatMul) {
	groups := b.offsets(o, &o.Offsets, o.A.Shape[0])
	if o.C.DType == backend.F64 {
		b.f64.groupedMatMul(b.pool, o, groups)
	} else {
		b.f32.groupedMatMul(b.pool, o, groups)
	}
}

func (s *products[T]) groupedMatMul(p *pool, o *backend.GroupedMatMul, groups []int) {
	g, parts := &s.gemm, len(groups)-1
	g.c, g.a, g.b = operandOf[T](&o.C), operandOf[T](&o.A), matrixOf[T](o, &o.B)
	g.k, g.n = o.B.Dims()
	g.inner, g.packed = max(parts, 1), o.B.Layout == backend.Packed
	g.ragged, g.groups, g.accumulate = raggedRows, groups, false
	s.multiply(p, parts)
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
	g, parts := &s.gemm, len(groups)-1
	g.c, g.a, g.b = operandOf[T](&o.C), operandOf[T](&o.A).transposed(), operandOf[T](&o.B)
	g.m, g.n, g.k = o.A.Shape[1], o.B.Shape[1], o.A.Shape[0]
	g.inner, g.packed = max(parts, 1), false
	g.ragged, g.groups, g.accumulate = raggedK, groups, true
	s.multiply(p, parts)
}

// offsets reads the group offsets of a ragged op on m rows.
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
