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
	case I8:
		return float64(int8(mem[i]))
	case E4M3:
		return e4m3Value(mem[i])
	default:
		return float64(int32(binary.LittleEndian.Uint32(mem[4*i:])))
	}
}

// Put stores x as element i of mem, an array of d in little-endian order: to
// BF16 by way of F32 with round to nearest even, to E4M3 likewise, what is larger
// than 448 becoming 448, to integers toward zero.
func (d DType) Put(mem []byte, i int, x float64) {
	switch d {
	case F32:
		binary.LittleEndian.PutUint32(mem[4*i:], math.Float32bits(float32(x)))
	case F64:
		binary.LittleEndian.PutUint64(mem[8*i:], math.Float64bits(x))
	case BF16:
		binary.LittleEndian.PutUint16(mem[2*i:], bf16(float32(x)))
	case I8:
		mem[i] = byte(int8(x))
	case E4M3:
		mem[i] = e4m3(x)
	default:
		binary.LittleEndian.PutUint32(mem[4*i:], uint32(int32(x)))
	}
}

// Round is x as an element of d holds it.
func (d DType) Round(x float64) float64 {
	var mem [8]byte
	d.Put(mem[:], 0, x)
	return d.Get(mem[:], 0)
}

// bf16 rounds to nearest even. NaN stays NaN even where its payload is lost.
func bf16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// e4m3 rounds to the nearest FP8 E4M3 number, ties to even, saturating; the OCP
// 8-bit floating-point specification (2023) §5. NaN stays NaN.
func e4m3(x float64) byte {
	sign := byte(0)
	if math.Signbit(x) {
		sign = 0x80
	}
	if x != x {
		return sign | 0x7f
	}
	if x == 0 {
		return sign
	}
	a := min(math.Abs(x), 448)
	_, exponent := math.Frexp(a)              // a in [2^(exponent−1), 2^exponent)
	e := max(exponent-1, -6)                  // the smallest normal exponent is −6
	m := math.RoundToEven(math.Ldexp(a, 3-e)) // multiples of 2^(e−3)
	return sign | byte(int(m)+(e+6)*8)        // 8 ≤ m ≤ 16 when normal; 16 carries
}

// e4m3Value is the number that an FP8 E4M3 code stands for.
func e4m3Value(b byte) float64 {
	if b&0x7f == 0x7f {
		return math.NaN()
	}
	e, m := int(b>>3&15), float64(b&7)
	if e > 0 {
		m += 8
	}
	x := math.Ldexp(m, max(e, 1)-7-3)
	if b&0x80 != 0 {
		return math.Copysign(x, -1)
	}
	return x
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
