package cpu

import "github.com/aha-go/aha/backend"

// right is a batch of right operands in a format other than Native: strided
// matrices of values, or of codes with scales apart.
type right struct {
	operand[float32]        // of codes, their strides
	codes            []byte // else nil
	scale, least     blockValues
	blockK, blockN   int
}

// blockValues are the scales or the minimums of a batch's blocks: that of block (i, j) of
// matrix (e0, e1) is number e0*batch[0] + e1*batch[1] + i*rs + j*cs, of F32 or F16.
type blockValues struct {
	f32    []float32
	f16    []uint16
	rs, cs int
	batch  [2]int
}

// blockValuesOf are those of v, which may be absent.
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

// from is b from value n on.
func (b blockValues) from(n int) blockValues {
	b.f32, b.f16 = b.f32[min(n, len(b.f32)):], b.f16[min(n, len(b.f16)):]
	return b
}

// matrix is matrix (e0, e1) of the batch.
func (b blockValues) matrix(e0, e1 int) blockValues { return b.from(e0*b.batch[0] + e1*b.batch[1]) }

// block is b from block (i, j) on.
func (b blockValues) block(i, j int) blockValues { return b.from(i*b.rs + j*b.cs) }

// rightOf is a strided m. Of a packed one it is empty.
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

// matrix is matrix (e0, e1) of the batch.
func (r right) matrix(e0, e1 int) right {
	if r.codes == nil {
		r.operand = r.operand.matrix(e0, e1)
		return r
	}
	r.scale, r.least = r.scale.matrix(e0, e1), r.least.matrix(e0, e1)
	return r.from(e0*r.batch[0] + e1*r.batch[1])
}

// columns is r from column j on, the first of a block.
func (r right) columns(j int) right {
	if r.codes == nil {
		r.operand = r.operand.from(j * r.cs)
		return r
	}
	return r.block(0, j/r.blockN)
}

// block is r, which has codes, from block (p, q) on.
func (r right) block(p, q int) right {
	r.scale, r.least = r.scale.block(p, q), r.least.block(p, q)
	return r.from(p*r.blockK*r.rs + q*r.blockN*r.cs)
}

// from is r with the codes from element n on.
func (r right) from(n int) right {
	r.codes = r.codes[min(n, len(r.codes)):]
	return r
}

// repeats reports whether all matrices of the batch are one.
func (r right) repeats() bool {
	return r.batch == [2]int{} && r.scale.batch == [2]int{} && r.least.batch == [2]int{}
}
