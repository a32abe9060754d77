package cpu

import "github.com/aha-go/aha/backend"

// right is a batch of right operands for a product in a format other than
// Native: strided matrices of values, or of codes with separate scales.
type right struct {
	operand[float32]        // the values, or just the strides of codes
	codes            []byte // nil if the matrix has values
	scale, least     blockValues
	blockK, blockN   int
}

// blockValues are the scales or minimums of the blocks of a batch of matrices,
// in F32 or F16. That of block (i, j) of matrix (e0, e1) is at index
// e0*batch[0] + e1*batch[1] + i*rs + j*cs.
type blockValues struct {
	f32    []float32
	f16    []uint16
	rs, cs int
	batch  [2]int
}

// blockValuesOf returns the block values in v, or none if v is absent.
func blockValuesOf(v *backend.View) (b blockValues) {
	if !v.Present() {
		return b
	}
	b.rs, b.cs = v.Stride(-2), v.Stride(-1)
	copy(b.batch[4-v.Rank:], v.Strides[:v.Rank-2])
	if v.DType == backend.F16 {
		b.f16 = data[uint16](v)
	} else {
		b.f32 = data[float32](v)
	}
	return b
}

// from returns b starting at value n.
func (b blockValues) from(n int) blockValues {
	b.f32, b.f16 = b.f32[min(n, len(b.f32)):], b.f16[min(n, len(b.f16)):]
	return b
}

// matrix returns the values of matrix (e0, e1) of the batch.
func (b blockValues) matrix(e0, e1 int) blockValues { return b.from(e0*b.batch[0] + e1*b.batch[1]) }

// block returns b from block (i, j) on.
func (b blockValues) block(i, j int) blockValues { return b.from(i*b.rs + j*b.cs) }

// rightOf returns the operand m if it is strided, and an empty one if it is
// packed.
func rightOf(m *backend.Matrix) right {
	switch {
	case m.Layout == backend.Packed:
		return right{}
	case !m.Scale.Present():
		return right{operand: operandOf[float32](&m.Data)}
	}
	return right{
		operand: stridesOf[float32](&m.Data), codes: data[uint8](&m.Data),
		scale: blockValuesOf(&m.Scale), least: blockValuesOf(&m.Min),
		blockK: int(m.Format.BlockK), blockN: int(m.Format.BlockN),
	}
}

// matrix returns matrix (e0, e1) of the batch.
func (r right) matrix(e0, e1 int) right {
	if r.codes == nil {
		r.operand = r.operand.matrix(e0, e1)
		return r
	}
	r.scale, r.least = r.scale.matrix(e0, e1), r.least.matrix(e0, e1)
	return r.from(e0*r.batch[0] + e1*r.batch[1])
}

// columns returns r starting at column j. j must be the first column of a
// block.
func (r right) columns(j int) right {
	if r.codes == nil {
		r.operand = r.operand.from(j * r.cs)
		return r
	}
	return r.block(0, j/r.blockN)
}

// block returns r, which must have codes, from block (p, q) on.
func (r right) block(p, q int) right {
	r.scale, r.least = r.scale.block(p, q), r.least.block(p, q)
	return r.from(p*r.blockK*r.rs + q*r.blockN*r.cs)
}

// from returns r with its codes starting at element n.
func (r right) from(n int) right {
	r.codes = r.codes[min(n, len(r.codes)):]
	return r
}

// repeats reports whether all matrices of the batch are the same one.
func (r right) repeats() bool {
	return r.batch == [2]int{} && r.scale.batch == [2]int{} && r.least.batch == [2]int{}
}
