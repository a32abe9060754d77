package cuda

import "github.com/aha-go/aha/backend"

// tile is the number of rows and columns of C that a block of threads computes.
const tile = 16

func (b *CUDA) matMul(o *backend.MatMul) error {
	if _, err := b.formatted(o, o.B.Format, o.C.DType.Compute()); err != nil || o.C.Len() == 0 {
		return err
	}
	s := scratch{b: b}
	defer s.free()
	r, err := b.right(o, &o.B, &s)
	if err != nil {
		return err
	}
	return b.product(o, &o.C, &o.A, &r, o.Accumulate)
}

// product queues C = A·B, or C += A·B.
func (b *CUDA) product(op backend.Op, c, a *backend.View, r *right, accumulate bool) error {
	if p, ok := b.blas.takes(c, a, r); ok {
		return b.blas.product(b, p, c, a, &r.data, accumulate)
	}
	kernel, err := b.formatted(op, r.format, c.DType.Compute())
	if err != nil {
		return err
	}
	s := scratch{b: b}
	defer s.free()
	left, scale, err := b.left(r.format, a, &s)
	if err != nil {
		return err
	}
	tiles := ceil(c.Dim(-2), tile) * ceil(c.Dim(-1), tile)
	for _, n := range c.Shape[:c.Rank-2] {
		tiles *= n
	}
	return b.kernel("matmul", "matMul"+kernel).views(c, &left, &scale, &r.data, &r.scale).flag(accumulate).blocks(tiles)
}
