package cuda

import "github.com/aha-go/aha/backend"

// A block of threads computes tileRows rows of tileColumns columns of C, or
// fewRows rows if multiprocessors would be idle otherwise. The bits of an
// element are the same.
const (
	tileRows, fewRows = 64, 16
	tileColumns       = 64
)

// tiling returns the number of tiles of the given number of [m, n] matrices,
// and the infix of the names of kernels that compute such tiles.
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

// product queues C = A·B, or C += A·B if accumulate is set.
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
