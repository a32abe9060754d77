package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) matMul(o *backend.MatMul) error {
	if o.B.Format != backend.Native || o.B.Layout != backend.Strided {
		return backend.Unsupported(b, o, o.B.Format.String()+", "+o.B.Layout.String())
	}
	r := o.C.Rank
	batch := 1
	for _, n := range o.C.Shape[:r-2] {
		batch *= n
	}
	accumulate := 0
	if o.Accumulate {
		accumulate = 1
	}
	tiles := (o.C.Shape[r-2] + 15) / 16 * ((o.C.Shape[r-1] + 15) / 16) * batch
	return b.kernel("matmul", "matMul"+suffix(o.C.DType)).views(&o.C, &o.A, &o.B.Data).int(accumulate).blocks(tiles)
}
