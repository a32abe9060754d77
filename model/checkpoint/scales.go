package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aha-go/aha/backend"
)

// ErrScaled is wrapped by Load's error for a tensor whose scales are not of the kind
// that Load reads.
var ErrScaled = errors.New("tensor has scales")

// V3Block are the rows and columns of a block of DeepSeek-V3's FP8 weights.
var V3Block = [2]int{128, 128}

// scaleSuffix makes the name of a matrix that of its scales. DeepSeek calls them
// inverse, and multiplies by them.
const scaleSuffix = "_scale_inv"

// otherScales are suffixes of scales, by which an unsupported scheme is recognised.
var otherScales = []string{"_scale", "_scales", "_scale_2", "_zero_point"}

// scaleDTypes are the dtypes of scales.
var scaleDTypes = []DType{F32, BF16, F8E8M0}

// scaleOf finds the scales of t, whose matrices are of so many parts, each with blocks
// of its own. ok is false where t has none.
func (p *planner) scaleOf(t TensorInfo, of int) (scale TensorInfo, ok bool, err error) {
	for _, suffix := range otherScales {
		if other, ok := p.Lookup(t.Name + suffix); ok {
			return scale, false, fmt.Errorf("%w: %s %v beside %s is not read, %s%s is", ErrScaled, other.Name, other.Shape,
				t.DType, t.Name, scaleSuffix)
		}
	}
	isFP8 := t.DType == F8E4M3 || t.DType == F8E5M2
	scale, ok = p.Lookup(t.Name + scaleSuffix)
	if !ok {
		if isFP8 && p.Block != [2]int{} {
			err = fmt.Errorf("%w: %s%s, which the config says %s has", ErrMissing, t.Name, scaleSuffix, t.DType)
		}
		return scale, false, err
	}
	block := p.block()
	n := len(t.Shape)
	switch {
	case !isFP8:
		return scale, false, fmt.Errorf("%w: %s %v beside %s, want it beside FP8", ErrScaled, scale.Name, scale.Shape, t.DType)
	case !slices.Contains(scaleDTypes, scale.DType):
		return scale, false, fmt.Errorf("%w: %s is %s, want one of %v", ErrDType, scale.Name, scale.DType, scaleDTypes)
	case len(scale.Shape) < 2:
		return scale, false, fmt.Errorf("%w: %s %v is of the whole tensor, want one for each block of %d×%d", ErrScaled,
			scale.Name, scale.Shape, block[0], block[1])
	case n < 2:
		return scale, false, fmt.Errorf("%w: %s %v beside a tensor of shape %v", ErrScaled, scale.Name, scale.Shape, t.Shape)
	}
	want := slices.Clone(t.Shape)
	want[n-2], want[n-1] = of*ceil(t.Shape[n-2]/of, block[0]), ceil(t.Shape[n-1], block[1])
	if !slices.Equal(scale.Shape, want) {
		return scale, false, fmt.Errorf("%w: %s %v, want %v for blocks of %d×%d of %v", ErrShape, scale.Name, scale.Shape,
			want, block[0], block[1], t.Shape)
	}
	return scale, true, nil
}

// ceil is a/b rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }

// appendScales appends scales of dtype dt to dst as F32, which has all their values.
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

// fp8Values are the values of FP8 codes.
var fp8Values = map[DType]*[256]float32{F8E4M3: fp8Table(backend.E4M3), F8E5M2: fp8Table(backend.E5M2)}

func fp8Table(dt backend.DType) *[256]float32 {
	var t [256]float32
	for i := range t {
		t[i] = float32(dt.Get([]byte{byte(i)}, 0))
	}
	return &t
}

// dequantize sets dst to the products of codes [rows, width] and the scales of their
// blocks, each rounded to F32. The first row is row skip of its block.
func dequantize(dst, codes []byte, values *[256]float32, scales []float32, width, skip int, block [2]int) {
	across := ceil(width, block[1])
	for i := 0; i*width < len(codes); i++ {
		row, out := codes[i*width:][:width], dst[4*i*width:][:4*width]
		of := scales[(skip+i)/block[0]*across:][:across]
		for b, scale := range of {
			lo, hi := b*block[1], min((b+1)*block[1], width)
			to := out[4*lo : 4*hi]
			for j, code := range row[lo:hi] {
				binary.LittleEndian.PutUint32(to[4*j:], math.Float32bits(values[code]*scale))
			}
		}
	}
}
