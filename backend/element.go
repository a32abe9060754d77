package backend

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"
)

// Get returns element i of mem, an array of d in little-endian order.
func (d DType) Get(mem []byte, i int) float64 {
	switch d {
	case F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(mem[4*i:])))
	case F64:
		return math.Float64frombits(binary.LittleEndian.Uint64(mem[8*i:]))
	case BF16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(mem[2*i:])) << 16))
	case I8:
		return float64(int8(mem[i]))
	case E4M3:
		return float64(e4m3.values[mem[i]])
	case E5M2:
		return float64(e5m2.values[mem[i]])
	case F16:
		return float64(float16.Frombits(binary.LittleEndian.Uint16(mem[2*i:])).Float32())
	default:
		return float64(int32(binary.LittleEndian.Uint32(mem[4*i:])))
	}
}

// Put stores x as element i of mem, an array of d in little-endian order. Floats round to
// nearest, ties to even, and NaN stays NaN. F32, BF16 and F16 overflow to infinity. E4M3
// and E5M2 saturate: a finite x beyond the largest number, ±448 or ±57344, becomes that
// number. An infinity stays infinite in E5M2 and becomes ±448 in E4M3, which has no
// infinities. (In the saturating mode of the OCP standard it becomes finite in E5M2 too.)
// Integers round toward zero.
func (d DType) Put(mem []byte, i int, x float64) {
	switch d {
	case F32:
		binary.LittleEndian.PutUint32(mem[4*i:], math.Float32bits(float32(x)))
	case F64:
		binary.LittleEndian.PutUint64(mem[8*i:], math.Float64bits(x))
	case BF16:
		binary.LittleEndian.PutUint16(mem[2*i:], bf16(roundToOdd(x)))
	case I8:
		mem[i] = byte(int8(x))
	case E4M3:
		mem[i] = e4m3.encode(x)
	case E5M2:
		mem[i] = e5m2.encode(x)
	case F16:
		binary.LittleEndian.PutUint16(mem[2*i:], float16.Fromfloat32(roundToOdd(x)).Bits())
	default:
		binary.LittleEndian.PutUint32(mem[4*i:], uint32(int32(x)))
	}
}

// Round returns x rounded to an element of d.
func (d DType) Round(x float64) float64 {
	var mem [8]byte
	d.Put(mem[:], 0, x)
	return d.Get(mem[:], 0)
}

// bf16 rounds x to nearest even. A NaN stays NaN even if its payload bits are cut off.
func bf16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// roundToOdd returns x as a float32 whose last bit is set if digits were lost. Rounding
// the result to at most 22 significant bits then equals rounding x once.
func roundToOdd(x float64) float32 {
	f := float32(x)
	if float64(f) == x || x != x {
		return f
	}
	bits := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(x) {
		bits--
	}
	return math.Float32frombits(bits | 1)
}

// Each calls visit for the elements of v in row-major order: i counts them, and at is the
// element's index in the buffer.
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

// unravel returns the index of the i-th element in row-major order. Messages use it.
func (v *View) unravel(i int) []int {
	index := make([]int, v.Rank)
	for d := v.Rank - 1; d >= 0; d-- {
		index[d] = i % v.Shape[d]
		i /= v.Shape[d]
	}
	return index
}

// Values downloads the elements of v in row-major order. A float64 represents elements of
// every dtype exactly.
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

// Span returns the range [lo, hi) of buffer elements that v covers; 0, 0 if v is empty.
func (v *View) Span() (lo, hi int) {
	lo, hi, ok := v.bounds()
	if !ok {
		return 0, 0
	}
	return lo, hi + 1
}
