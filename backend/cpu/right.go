package cpu

import "github.com/aha-go/aha/backend"

// right is a batch of right operands in a format other than Native: strided
// matrices of values, or of codes with scales apart.
type right struct {
	operand[float32]        // of codes, their strides
	codes            []byte // else nil
	scale            []float32
	srs, scs         int
	scaleBatch       [2]int
	blockK, blockN   int
}

// rightOf is a strided m. Of a packed one it is empty.
func rightOf(m *backend.Matrix) right {
	switch {
	case m.Layout == backend.Packed:
		return right{}
	case !m.Scale.Present():
		return right{operand: operandOf[float32](&m.Data)}
	}
	r := right{
		operand: stridesOf[float32](&m.Data), codes: data[uint8](&m.Data), scale: data[float32](&m.Scale),
		srs: m.Scale.Stride(-2), scs: m.Scale.Stride(-1),
		blockK: int(m.Format.BlockK), blockN: int(m.Format.BlockN),
	}
	copy(r.scaleBatch[4-m.Scale.Rank:], m.Scale.Strides[:m.Scale.Rank-2])
	return r
}

// matrix is matrix (e0, e1) of the batch.
func (r right) matrix(e0, e1 int) right {
	if r.codes == nil {
		r.operand = r.operand.matrix(e0, e1)
		return r
	}
	return r.from(e0*r.batch[0]+e1*r.batch[1], e0*r.scaleBatch[0]+e1*r.scaleBatch[1])
}

// columns is r from column j on, the first of a block.
func (r right) columns(j int) right {
	if r.codes == nil {
		r.operand = r.operand.from(j * r.cs)
		return r
	}
	return r.from(j*r.cs, j/r.blockN*r.scs)
}

// from is r, which has codes, from element n of them and element s of the scales on.
func (r right) from(n, s int) right {
	r.codes, r.scale = r.codes[min(n, len(r.codes)):], r.scale[min(s, len(r.scale)):]
	return r
}

// repeats reports whether all matrices of the batch are one.
func (r right) repeats() bool { return r.batch == [2]int{} && r.scaleBatch == [2]int{} }
