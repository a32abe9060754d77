package cuda

import (
	"fmt"

	"github.com/aha-go/aha/backend"
)

// right is the right operand of products in any form: the elements [..., K, N]
// and, in formats with scales, the scales of its blocks.
//
// A packed matrix has the elements column by column, then the scales, in Q4_1
// each followed by its minimum. Columns of Q8, Q4 and Q4_1 start at whole
// blocks. Elements of Q4 and Q4_1 are half a byte: their view has dtype I8, and
// its strides count half bytes.
type right struct {
	format      backend.Format
	data, scale backend.View
}

// packing is the layout of a packed [k, n] matrix.
type packing struct {
	column       int // elements from the start of one column to the next
	down, across int // numbers of scales
	data, words  int // 4-byte words of the elements, and of the whole matrix
}

// word is the dtype of packed matrices, which keeps F32 scales aligned.
const word = backend.I32

func packingOf(f backend.Format, k, n int) packing {
	p := packing{column: k}
	bits := 8 * f.Element.Size()
	if f.Width != 0 {
		bits = int(f.Width)
	}
	if f.BlockK > 0 {
		p.down, p.across = ceil(k, int(f.BlockK)), ceil(n, int(f.BlockN))
	}
	if !f.Element.IsFloat() {
		p.column = p.down * int(f.BlockK)
	}
	p.data = ceil(p.column*n*bits, 32)
	p.words = p.data + ceil(p.down*p.across*f.BlockValues()*f.Scale.Size(), 4)
	return p
}

// formats holds the kernel name suffixes of the formats other than Native.
var formats = map[backend.Format]string{
	backend.BFloat16: "_bf16", backend.FP8: "_fp8", backend.Q8: "_q8", backend.Q4: "_q4",
	backend.Q4_1: "_q4_1",
}

// formatted returns the kernel name suffix of a product in format f with sums
// of dtype dt.
func (b *CUDA) formatted(op backend.Op, f backend.Format, dt backend.DType) (string, error) {
	if f == backend.Native {
		return suffix(dt), nil
	}
	if s := formats[f]; s != "" {
		return s, nil
	}
	return "", backend.Unsupported(b, op, f.String())
}

// PackedLen returns the dtype and length in words of a packed [k, n] matrix.
// The length is 0 for Native, which has no packed layout.
func (b *CUDA) PackedLen(f backend.Format, dt backend.DType, k, n int) (backend.DType, int) {
	if formats[f] == "" || dt != backend.F32 && dt != backend.BF16 {
		return dt, 0
	}
	return word, packingOf(f, k, n).words
}

// packed returns the right operand stored in the packed k×n matrix v, or a
// stack of them.
func packed(v *backend.View, f backend.Format, k, n int) right {
	p := packingOf(f, k, n)
	r := right{format: f, data: *v}
	r.data.Rank++
	r.data.DType = f.Element
	r.data.Offset = v.Offset * word.Size() / f.Element.Size()
	r.scale = r.data
	r.scale.DType = f.Scale
	r.scale.Offset = (v.Offset + p.data) * word.Size() / f.Scale.Size()
	perWord := word.Size() / f.Element.Size()
	if f.Width != 0 {
		perWord = 32 / int(f.Width)
	}
	last := v.Rank - 1
	for i := range last {
		r.data.Strides[i] = v.Strides[i] * perWord
		r.scale.Strides[i] = v.Strides[i] * word.Size() / f.Scale.Size()
	}
	r.data.Shape[last], r.data.Shape[last+1] = k, n
	r.data.Strides[last], r.data.Strides[last+1] = 1, p.column
	r.scale.Shape[last], r.scale.Shape[last+1] = p.down, p.across
	r.scale.Strides[last], r.scale.Strides[last+1] = f.BlockValues(), f.BlockValues()*p.down
	if f.BlockK == 0 {
		r.scale = backend.View{}
	}
	return r
}

// stored returns m as a right operand. m must be packed, have scales, or be in
// a format without scales.
func (b *CUDA) stored(op backend.Op, m *backend.Matrix) right {
	if m.Layout == backend.Strided {
		return right{m.Format, m.Data, m.Scale}
	}
	dt, want := b.PackedLen(m.Format, backend.F32, m.K, m.N)
	if m.Data.Dim(-1) != want || want > 0 && m.Data.DType != dt {
		panic(fmt.Errorf("cuda: %s: %v for a [%d %d] matrix packed as %s, want %d elements of %s",
			op.Name(), m.Data, m.K, m.N, m.Format, want, dt))
	}
	if m.Format == backend.Native { // Native has no packed layout: there are no elements
		r := right{data: m.Data}
		r.data.Rank++
		r.data.Shape[m.Data.Rank-1], r.data.Shape[m.Data.Rank] = m.K, m.N
		return r
	}
	return packed(&m.Data, m.Format, m.K, m.N)
}

// narrow refuses integers of less than a byte with separate scales, which only
// Pack reads.
func (b *CUDA) narrow(op backend.Op, m *backend.Matrix) error {
	if m.Layout == backend.Strided && m.Scale.Present() && m.Format.Width != 0 {
		return backend.Unsupported(b, op, m.Format.String()+" with separate scales")
	}
	return nil
}

// right returns the right operand m of op. A strided matrix without scales, in
// a format that has scales, is encoded into memory of s.
func (b *CUDA) right(op backend.Op, m *backend.Matrix, s *scratch) (right, error) {
	if err := b.narrow(op, m); err != nil {
		return right{}, err
	}
	if m.Layout == backend.Packed || m.Scale.Present() || m.Format.BlockK == 0 {
		return b.stored(op, m), nil
	}
	k, n := m.Dims()
	lead := m.Data.Shape[:m.Data.Rank-2]
	v, err := s.view(word, append(append(make([]int, 0, backend.MaxRank), lead...), packingOf(m.Format, k, n).words)...)
	if err != nil {
		return right{}, err
	}
	r := packed(&v, m.Format, k, n)
	return r, b.encode(r, &m.Data)
}

// columns returns columns [lo, hi) of r. In formats with scales they must be
// whole blocks, except for the last one.
func (r right) columns(lo, hi int) right {
	from := r.data.Offset + lo*r.data.Stride(-1)
	if r.format.Width != 0 {
		from = r.data.Offset + lo*r.data.Stride(-1)*int(r.format.Width)/8
	}
	r.data = r.data.Slice(-1, lo, hi)
	r.data.Offset = from
	if r.scale.Present() {
		block := int(r.format.BlockN)
		r.scale = r.scale.Slice(-1, lo/block, ceil(hi, block))
	}
	return r
}

// scratch is memory for the duration of an op.
type scratch struct {
	b    *CUDA
	list [4]backend.Buffer
	n    int
}

// view returns a contiguous view of new memory.
func (s *scratch) view(dt backend.DType, shape ...int) (backend.View, error) {
	v, err := s.b.temp(dt, shape...)
	if err == nil {
		s.list[s.n] = v.Buf
		s.n++
	}
	return v, err
}

// free frees the memory. Queued work runs before the memory is reused.
func (s *scratch) free() {
	for _, buf := range s.list[:s.n] {
		s.b.Free(buf)
	}
	s.n = 0
}

// encode queues the encoding of the values w into r, whose format has scales.
func (b *CUDA) encode(r right, w *backend.View) error {
	kernel := b.kernel("pack", "quantise"+formats[r.format]).views(&r.data, &r.scale, w)
	if r.format == backend.FP8 {
		return kernel.blocks(r.scale.Len())
	}
	return kernel.each(r.scale.Len())
}

// left returns the left operand a of a product in format f and its scales. If f
// encodes left operands beforehand, they are in memory of s.
func (b *CUDA) left(f backend.Format, a *backend.View, s *scratch) (codes, scale backend.View, err error) {
	if f != backend.FP8 {
		return *a, backend.View{}, nil
	}
	shape := a.Shape
	if codes, err = s.view(backend.E4M3, shape[:a.Rank]...); err != nil {
		return codes, scale, err
	}
	shape[a.Rank-1] = ceil(shape[a.Rank-1], int(f.LeftBlock))
	if scale, err = s.view(backend.F32, shape[:a.Rank]...); err != nil {
		return codes, scale, err
	}
	return codes, scale, b.kernel("pack", "quantiseRows").views(&codes, &scale, a).each(scale.Len() * 32)
}

// ceil returns a/b rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }
