package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Matrices of E4M3 codes with separate scales. A product packs them for its own
// use.

// quantiseSquares is the job of Pack to such a matrix, split by matrices and
// blocks.
type quantiseSquares struct {
	*backend.Pack
	dst  right
	src  right
	k, n int
}

func (b *CPU) quantise(o *backend.Pack) error {
	j := &quantiseSquares{Pack: o, dst: rightOf(&o.Dst).columns(o.Column), src: rightOf(&o.Src)}
	j.k, j.n = o.Src.Dims()
	matrices := 1
	if o.Src.Data.Rank == 3 {
		matrices = o.Src.Data.Shape[0]
	}
	b.pool.run(matrices*ceil(j.k, asm.FP8Block)*ceil(j.n, asm.FP8Block), 1, j)
	return nil
}

func (j *quantiseSquares) run(w *worker, lo, hi int) {
	down, across := ceil(j.k, asm.FP8Block), ceil(j.n, asm.FP8Block)
	values := scratch[float32](w, asm.FP8Block*asm.FP8Block)
	var codes [asm.FP8Block * asm.FP8Block]byte
	for ; lo < hi; lo++ {
		e, p, q := lo/(down*across), lo/across%down, lo%across
		k, n := min(asm.FP8Block, j.k-p*asm.FP8Block), min(asm.FP8Block, j.n-q*asm.FP8Block)
		dst, src := j.dst.matrix(0, e).block(p, q), j.src.matrix(0, e)
		if src.codes != nil {
			src = src.block(p, q)
			dst.scale.f32[0] = src.scale.f32[0]
			for i := range k {
				moveRow(codes[i*n:], src.codes[i*src.rs:], n, 1, src.cs)
			}
		} else {
			src.operand.from(p*asm.FP8Block*src.rs+q*asm.FP8Block*src.cs).read(values, k, n, n)
			dst.scale.f32[0] = asm.QuantFP8(codes[:], values, k, n)
		}
		for i := range k {
			moveRow(dst.codes[i*dst.rs:], codes[i*n:], n, dst.cs, 1)
		}
	}
}

// dequantiseColumns is the job of Unpack of such a matrix, split by matrices
// and columns of Dst.
type dequantiseColumns struct {
	*backend.Unpack
	src right
}

func (b *CPU) dequantise(o *backend.Unpack) error {
	matrices := 1
	if o.Dst.Rank == 3 {
		matrices = o.Dst.Shape[0]
	}
	j := &b.formatted.dequantiser
	*j = dequantiseColumns{o, rightOf(&o.Src)}
	b.pool.run(matrices*o.Dst.Dim(-1), rowGrain(o.Dst.Dim(-2)), j)
	*j = dequantiseColumns{} // releases the operands for garbage collection
	return nil
}

func (j *dequantiseColumns) run(w *worker, lo, hi int) {
	k, n := j.Dst.Dim(-2), j.Dst.Dim(-1)
	_, width := j.Src.Dims()
	out, values := operandOf[float32](&j.Dst), scratch[float32](w, k)
	var codes [asm.FP8Block]byte
	for ; lo < hi; lo++ {
		e, col := lo/n, lo%n
		dst := out.matrix(0, e).from(col * out.cs)
		if j.Index.Present() {
			id := at[int32](&j.Index, col)
			if id < 0 {
				clear(values)
				dst.write(values, k, 1, 1)
				continue
			}
			col = row("Unpack", "index", id, width)
		}
		src := j.src.matrix(0, e)
		for p := 0; p < k; p += asm.FP8Block {
			block, square := values[p:min(p+asm.FP8Block, k)], src.block(p/asm.FP8Block, col/asm.FP8Block)
			moveRow(codes[:], square.codes[col%asm.FP8Block*square.cs:], len(block), 1, square.rs)
			asm.FromE4M3(block, codes[:len(block)])
			scale(block, block, square.scale.f32[0])
		}
		dst.write(values, k, 1, 1)
	}
}
