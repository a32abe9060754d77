package gguf

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/aha-go/aha/backend"
)

// Type is the storage type of a tensor's elements, with the values of ggml_type.
type Type uint32

// The supported types. Types with blocks of more than one element require rows that consist
// of whole blocks.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2  // 32 integers of 4 bits minus 8, times an F16 scale
	Q4_1 Type = 3  // 32 integers of 4 bits, times an F16 scale, plus an F16 minimum
	Q8_0 Type = 8  // 32 integers of 8 bits, times an F16 scale
	Q4_K Type = 12 // 256 integers of 4 bits, scales and minimums of 6 bits per 32
	Q6_K Type = 14 // 256 integers of 6 bits minus 32, scales of 8 bits per 16
	BF16 Type = 30
)

// types describes the supported types.
var types = map[Type]struct {
	name            string
	elements, bytes int // per block
	dequantize      func(dst []float32, block []byte)
}{
	F32:  {"F32", 1, 4, dequantizeF32},
	F16:  {"F16", 1, 2, dequantizeF16},
	BF16: {"BF16", 1, 2, dequantizeBF16},
	Q4_0: {"Q4_0", 32, 18, dequantizeQ4_0},
	Q4_1: {"Q4_1", 32, 20, dequantizeQ4_1},
	Q8_0: {"Q8_0", 32, 34, dequantizeQ8_0},
	Q4_K: {"Q4_K", 256, 144, dequantizeQ4_K},
	Q6_K: {"Q6_K", 256, 210, dequantizeQ6_K},
}

// refused are the names of unsupported types, for errors.
var refused = map[Type]string{
	6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
	18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32",
	27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

// String returns GGML's name of the type.
func (t Type) String() string {
	if row, ok := types[t]; ok {
		return row.name
	}
	if name, ok := refused[t]; ok {
		return name
	}
	return fmt.Sprintf("Type(%d)", uint32(t))
}

// Block returns the number of elements and of bytes of a block, both 0 for an unsupported
// type.
func (t Type) Block() (elements, bytes int) {
	row := types[t]
	return row.elements, row.bytes
}

// Bytes returns the size of n elements, where n must be a multiple of the block's elements.
func (t Type) Bytes(n int) int {
	elements, bytes := t.Block()
	return n / elements * bytes
}

// Dequantize sets dst to the elements of src, which consists of whole blocks, in F32. As in
// GGML's reference, each product and each sum is rounded to F32.
func (t Type) Dequantize(dst []float32, src []byte) {
	row, ok := types[t]
	if !ok || len(dst)%row.elements != 0 || len(src) != t.Bytes(len(dst)) {
		panic(fmt.Sprintf("gguf: Dequantize: %d bytes of %s as %d elements", len(src), t, len(dst)))
	}
	for ; len(dst) > 0; dst, src = dst[row.elements:], src[row.bytes:] {
		row.dequantize(dst[:row.elements], src[:row.bytes])
	}
}

// dataBytes returns the size of a tensor in bytes. An overflow is an error.
func dataBytes(t Type, shape []int) (int64, error) {
	elements, bytes := t.Block()
	if elements == 0 {
		return 0, fmt.Errorf("%w %s", ErrType, t)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("%w %v: %d dimensions, more than %d", ErrShape, shape, len(shape), maxRank)
	}
	n := uint64(1)
	for _, dim := range shape {
		if dim <= 0 {
			return 0, fmt.Errorf("%w %v: want positive dimensions", ErrShape, shape)
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > math.MaxInt64/uint64(bytes) {
			return 0, fmt.Errorf("%w %v: overflows 63 bits", ErrShape, shape)
		}
		n = lo
	}
	if len(shape) == 0 || shape[len(shape)-1]%elements != 0 {
		return 0, fmt.Errorf("%w %v: want rows of a multiple of %d elements for %s", ErrShape, shape, elements, t)
	}
	return int64(n / uint64(elements) * uint64(bytes)), nil
}

// Split sets codes to the integers of src, which consists of whole blocks of Q8_0, Q4_0 or
// Q4_1, as one int8 each. It sets scales and, for Q4_1, minimums to the F16 values of the
// blocks. Integers of Q4_0 are from -8 to 7, those of Q4_1 from 0 to 15.
func (t Type) Split(codes, scales, minimums, src []byte) {
	least := 0
	if t == Q4_1 {
		least = 2
	}
	elements, size := t.Block()
	if t != Q8_0 && t != Q4_0 && t != Q4_1 || len(codes)%elements != 0 || len(src) != t.Bytes(len(codes)) ||
		len(scales) != 2*len(codes)/elements || len(minimums) != least*len(codes)/elements {
		panic(fmt.Sprintf("gguf: Split: %d bytes of %s as %d integers, %d bytes of scales and %d of minimums", len(src), t,
			len(codes), len(scales), len(minimums)))
	}
	for ; len(src) > 0; codes, src = codes[elements:], src[size:] {
		copy(scales, src[:2])
		scales = scales[2:]
		q := src[2:size]
		switch t {
		case Q8_0:
			copy(codes, q)
		case Q4_0:
			for i, b := range q {
				codes[i], codes[16+i] = b&15-8, b>>4-8
			}
		case Q4_1:
			copy(minimums, q[:2])
			minimums = minimums[2:]
			for i, b := range q[2:] {
				codes[i], codes[16+i] = b&15, b>>4
			}
		}
	}
}

// Quantize sets dst to the elements of src, which form whole blocks, as F32, F16 or Q8_0,
// rounded as in GGML's reference. It returns an error that wraps [ErrValue] if a value or a
// scale exceeds the range of F16, or if a value for Q8_0 is not finite.
func (t Type) Quantize(dst []byte, src []float32) error {
	elements, size := t.Block()
	if elements == 0 || len(src)%elements != 0 || len(dst) != t.Bytes(len(src)) {
		panic(fmt.Sprintf("gguf: Quantize: %d elements as %d bytes of %s", len(src), len(dst), t))
	}
	for i := 0; i < len(src); i += elements {
		b, x := dst[i/elements*size:][:size], src[i:i+elements]
		var err error
		switch t {
		case F32:
			backend.F32.Put(b, 0, float64(x[0]))
		case F16:
			err = putHalf(b, x[0])
		case Q8_0:
			err = quantizeQ8_0(b, x)
		default:
			panic(fmt.Sprintf("gguf: Quantize: %s is not written", t))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putHalf writes x as F16 to the start of b.
func putHalf(b []byte, x float32) error {
	backend.F16.Put(b, 0, float64(x))
	if isInf(half(b)) && !isInf(x) {
		return fmt.Errorf("%w: %g is beyond F16", ErrValue, x)
	}
	return nil
}

func isInf(x float32) bool { return math.IsInf(float64(x), 0) }

func quantizeQ8_0(b []byte, x []float32) error {
	most := float32(0)
	for _, v := range x {
		if v != v || isInf(v) {
			return fmt.Errorf("%w: %g in Q8_0", ErrValue, v)
		}
		most = max(most, v, -v)
	}
	d, inverse := most/127, float32(0)
	if d != 0 {
		inverse = 1 / d
	}
	if err := putHalf(b, d); err != nil {
		return err
	}
	for i, v := range x {
		b[2+i] = byte(int8(math.Round(float64(v * inverse)))) // rounds halves away from zero
	}
	return nil
}
