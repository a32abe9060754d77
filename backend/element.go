package backend

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Get is element i of mem, an array of d in little-endian order.
func (d DType) Get(mem []byte, i int) float64 {
	switch d {
	case F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(mem[4*i:])))
	case F64:
		return math.Float64frombits(binary.LittleEndian.Uint64(mem[8*i:]))
	case BF16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(mem[2*i:])) << 16))
	default:
		return float64(int32(binary.LittleEndian.Uint32(mem[4*i:])))
	}
}

// Put stores x as element i of mem, an array of d in little-endian order: to
// BF16 by way of F32 with round to nearest even, to I32 toward zero.
func (d DType) Put(mem []byte, i int, x float64) {
	switch d {
	case F32:
		binary.LittleEndian.PutUint32(mem[4*i:], math.Float32bits(float32(x)))
	case F64:
		binary.LittleEndian.PutUint64(mem[8*i:], math.Float64bits(x))
	case BF16:
		binary.LittleEndian.PutUint16(mem[2*i:], bf16(float32(x)))
	default:
		binary.LittleEndian.PutUint32(mem[4*i:], uint32(int32(x)))
	}
}

// bf16 rounds to nearest even. NaN stays NaN even where its payload is lost.
func bf16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// Each visits the elements of v in row-major order: i counts them, at is the
// element's place in the buffer, in elements.
func (v *View) Each(visit func(i, at int)) {
	n := v.Len()
	var index [MaxRank]int
	at := v.Offset
	for i := range n {
		visit(i, at)
		for d := v.Rank - 1; d >= 0; d-- {
			index[d]++
			at += v.Strides[d]
			if index[d] < v.Shape[d] {
				break
			}
			at -= index[d] * v.Strides[d]
			index[d] = 0
		}
	}
}

// unravel is the index of the i-th element in row-major order, for messages.
func (v *View) unravel(i int) []int {
	index := make([]int, v.Rank)
	for d := v.Rank - 1; d >= 0; d-- {
		index[d] = i % v.Shape[d]
		i /= v.Shape[d]
	}
	return index
}

// Values downloads the elements of v in row-major order. I32 and BF16 are exact
// in float64.
func Values(b Backend, v View) ([]float64, error) {
	x := make([]float64, v.Len())
	lo, hi := v.Span()
	size := v.DType.Size()
	mem := make([]byte, (hi-lo)*size)
	if err := b.Download(mem, v.Buf, lo*size); err != nil {
		return nil, fmt.Errorf("backend: Values of %s: %w", v, err)
	}
	v.Each(func(i, at int) { x[i] = v.DType.Get(mem, at-lo) })
	return x, nil
}

// Span is the range [lo, hi) of buffer elements that v reaches; 0, 0 if v is empty.
func (v *View) Span() (lo, hi int) {
	lo, hi, ok := v.bounds()
	if !ok {
		return 0, 0
	}
	return lo, hi + 1
}
