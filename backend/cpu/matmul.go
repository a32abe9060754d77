package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// products is the state that the matrix ops of one dtype reuse.
type products[T number] struct {
	gemm   gemm[T]
	panels []T // memory for a packed copy of B
	pack   packing[T]
}

// reserve returns n elements of memory for panels, with undefined content.
func (s *products[T]) reserve(n int) []T {
	s.panels = growHuge(s.panels, n)
	return s.panels
}

func (b *CPU) matMul(o *backend.MatMul) {
	if o.C.DType == backend.F64 {
		b.f64.matMul(b.pool, o)
	} else {
		b.f32.matMul(b.pool, o)
	}
}

func (s *products[T]) matMul(p *pool, o *backend.MatMul) {
	if o.C.Len() == 0 {
		return
	}
	r := o.A.Rank
	batches := [2]int{1, 1}
	copy(batches[4-r:], o.A.Shape[:r-2])
	k, n := o.B.Dims()
	g := &s.gemm
	g.c, g.a, g.b = operandOf[T](&o.C), operandOf[T](&o.A), matrixOf[T](o, &o.B)
	g.m, g.n, g.k, g.inner, g.packed = o.A.Shape[r-2], n, k, batches[1], o.B.Layout == backend.Packed
	g.ragged, g.accumulate = batched, o.Accumulate
	if g.c.cs != 1 && g.c.rs == 1 && !g.packed {
		g.c, g.a, g.b = g.c.transposed(), g.b.transposed(), g.a.transposed()
		g.m, g.n = g.n, g.m
	}
	if g.packed || batches != [2]int{1, 1} || g.m < manyRows || g.k*g.n <= maxShared {
		s.multiply(p, batches[0]*batches[1])
		return
	}
	// All columns of B that fit into maxShared elements are packed at a time.
	whole, b, c := g.n, g.b, g.c
	step := max(maxShared/g.k&^(leastColumns-1), leastColumns)
	for j := 0; j < whole; j += step {
		g.n, g.b, g.c = min(step, whole-j), b.from(j*b.cs), c.from(j*c.cs)
		s.multiply(p, 1)
	}
}

// matrixOf returns a right operand: a strided matrix, or the memory of a packed
// one. It panics if a packed matrix does not have the length PackedLen.
func matrixOf[T number](op backend.Op, m *backend.Matrix) operand[T] {
	if m.Layout != backend.Packed {
		return operandOf[T](&m.Data)
	}
	if want := asm.PackedSize(m.K, m.N); m.Data.Dim(-1) != want {
		panic(fmt.Errorf("cpu: %s: packed B %v of a [%d %d] matrix, want %d elements", op.Name(), m.Data, m.K, m.N, want))
	}
	o := operand[T]{data: data[T](&m.Data)}
	copy(o.batch[3-m.Data.Rank:], m.Data.Strides[:m.Data.Rank-1])
	return o
}

// ceil returns a/b rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }
