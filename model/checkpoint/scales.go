package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
)

// ErrScaled is wrapped by the error of Load for a tensor with scales that Load does not
// support.
var ErrScaled = errors.New("tensor has scales")

// V3Block is the number of rows and columns of a block of DeepSeek-V3's FP8 weights.
var V3Block = [2]int{128, 128}

// scaleSuffix is appended to the name of a matrix to form the name of its scales. Despite
// the suffix, elements are multiplied by these scales.
const scaleSuffix = "_scale_inv"

// otherScales are suffixes of scales in unsupported schemes.
var otherScales = []string{"_scale", "_scales", "_scale_2", "_zero_point"}

// scaleDTypes are the supported dtypes of scales.
var scaleDTypes = []DType{F32, BF16, F8E8M0}

// scaleOf finds the scales of t, whose matrices consist of the given number of parts, each
// with separate blocks. ok is false if t has no scales.
func (p *planner) scaleOf(t TensorInfo, of int) (scale TensorInfo, ok bool, err error) {
	for _, suffix := range otherScales {
		if other, ok := p.Lookup(t.Name + suffix); ok {
			return scale, false, fmt.Errorf("%w: %s %v is not supported, only scales of blocks in %s%s are",
				ErrScaled, other.Name,
				other.Shape, t.Name, scaleSuffix)
		}
	}
	isFP8 := t.DType == F8E4M3 || t.DType == F8E5M2
	scale, ok = p.Lookup(t.Name + scaleSuffix)
	if !ok && isFP8 && p.Block != [2]int{} {
		err = fmt.Errorf("%w: %s%s, which %s must have according to the config", ErrMissing, t.Name, scaleSuffix, t.DType)
	}
	if !ok || err != nil {
		return scale, false, err
	}
	return scale, true, checkScale(t, scale, of, p.block())
}

// checkScale returns an error if scale cannot hold the scales of t.
func checkScale(t, scale TensorInfo, of int, block [2]int) error {
	n := len(t.Shape)
	switch {
	case t.DType != F8E4M3 && t.DType != F8E5M2 || n < 2:
		return fmt.Errorf("%w: %s %v for %s %v, want scales for FP8 matrices only", ErrScaled, scale.Name, scale.Shape,
			t.DType, t.Shape)
	case !slices.Contains(scaleDTypes, scale.DType):
		return fmt.Errorf("%w: %s is %s, want one of %v", ErrDType, scale.Name, scale.DType, scaleDTypes)
	case len(scale.Shape) < 2:
		return fmt.Errorf("%w: %s %v is one scale for the whole tensor, want one for each block of %d×%d",
			ErrScaled, scale.Name,
			scale.Shape, block[0], block[1])
	}
	want := slices.Clone(t.Shape)
	want[n-2], want[n-1] = of*ceil(t.Shape[n-2]/of, block[0]), ceil(t.Shape[n-1], block[1])
	if !slices.Equal(scale.Shape, want) {
		return fmt.Errorf("%w: %s %v, want %v for blocks of %d×%d of %v", ErrShape, scale.Name, scale.Shape, want, block[0],
			block[1], t.Shape)
	}
	return nil
}

// ceil returns a/b rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }

// appendScales appends scales of dtype dt to dst as F32, which represents them exactly.
func appendScales(dst []float32, dt DType, data []byte) []float32 {
	if dt == F8E8M0 {
		for _, code := range data {
			x := float32(math.NaN())
			if code < 255 {
				x = float32(math.Ldexp(1, int(code)-127))
			}
			dst = append(dst, x)
		}
		return dst
	}
	device := deviceDTypes[dt]
	for i := range len(data) / dt.Size() {
		dst = append(dst, float32(device.Get(data, i)))
	}
	return dst
}

// appendF32 appends scales to dst, little-endian.
func appendF32(dst []byte, scales []float32) []byte {
	for _, x := range scales {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst
}

// fp8Values maps FP8 codes to their values.
var fp8Values = map[DType]*[256]float32{F8E4M3: fp8Table(backend.E4M3), F8E5M2: fp8Table(backend.E5M2)}

func fp8Table(dt backend.DType) *[256]float32 {
	var t [256]float32
	for i := range t {
		t[i] = float32(dt.Get([]byte{byte(i)}, 0))
	}
	return &t
}

// dequantize sets dst to the products of codes [rows, width] and the scales of their
// blocks, each rounded to F32. The first row is row skip of its block. For each block it
// makes a table of the 256 possible products.
func dequantize(dst, codes []byte, values *[256]float32, scales []float32, width, skip int, block [2]int) {
	rows, across := len(codes)/width, ceil(width, block[1])
	var products [256]uint32
	for i, end := 0, 0; i < rows; i = end {
		of := (skip + i) / block[0]
		end = min(rows, (of+1)*block[0]-skip)
		for b, scale := range scales[of*across:][:across] {
			for code, x := range values {
				products[code] = math.Float32bits(x * scale)
			}
			lo, hi := b*block[1], min((b+1)*block[1], width)
			for r := i; r < end; r++ {
				lookUp(dst[4*(r*width+lo):], codes[r*width+lo:r*width+hi], &products)
			}
		}
	}
}

// lookUp sets dst to the table entries of codes, little-endian.
func lookUp(dst, codes []byte, table *[256]uint32) {
	for len(codes) >= 4 && len(dst) >= 16 {
		binary.LittleEndian.PutUint32(dst, table[codes[0]])
		binary.LittleEndian.PutUint32(dst[4:], table[codes[1]])
		binary.LittleEndian.PutUint32(dst[8:], table[codes[2]])
		binary.LittleEndian.PutUint32(dst[12:], table[codes[3]])
		codes, dst = codes[4:], dst[16:]
	}
	for i, code := range codes {
		binary.LittleEndian.PutUint32(dst[4*i:], table[code])
	}
}
