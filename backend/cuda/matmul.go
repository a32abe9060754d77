package cuda

import "github.com/aha-go/aha/backend"

// A block of threads computes tileRows or, where that leaves multiprocessors idle,
// fewRows rows of tileColumns columns of C. An element has the same bits in either.
const (
	tileRows, fewRows = 64, 16
	tileColumns       = 64
)

// tiling is the number of tiles of matrices [m, n] and the infix of the kernels that
// compute it.
func (b *CUDA) tiling(m, n, matrices int) (tiles int, infix string) {
	across := ceil(n, tileColumns) * matrices
	if tiles = ceil(m, tileRows) * across; tiles >= b.units && m > fewRows {
		return tiles, ""
	}
	return ceil(m, fewRows) * across, "_few"
}

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
	matrices := 1
	for _, n := range c.Shape[:c.Rank-2] {
		matrices *= n
	}
	tiles, infix := b.tiling(c.Dim(-2), c.Dim(-1), matrices)
	return b.kernel("matmul", "matMul"+infix+kernel).
		views(c, &left, &scale, &r.data, &r.scale).flag(accumulate).blocks(tiles)
}
