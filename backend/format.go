package backend

import "fmt"

// Format says how a matrix of weights is stored and how products take it, and
// with it the arithmetic. It is a descriptor that == compares. Another format is
// a row of the table below, its definition in package backendtest, and kernels.
//
// A strided matrix of F32 or BF16 may have any format: products encode it for the
// time of the op. Sums are F32 (F64 only with Native).
type Format struct {
	// Element is the dtype of the stored elements.
	Element DType
	// Width is the number of bits of an element that is narrower than Element; 0
	// means all of it.
	Width uint8
	// BlockK and BlockN are the rows (along K) and columns (along N) of a block of
	// elements that share a scale, d: an element stands for d·q. The last blocks may
	// be ragged. 0 means that there are no scales.
	BlockK, BlockN uint16
	// Scale is the dtype of the scales.
	Scale DType
	// Min says that a block has a minimum m beside its scale, of the same dtype: an
	// element is an integer from 0 on and stands for d·q + m.
	Min bool
	// Left is the dtype to which products round their left operand, and LeftBlock
	// the number of adjacent elements of a row of it that share an F32 scale; 0 means
	// without scales.
	Left      DType
	LeftBlock uint16
	// ForwardOnly says that products have no backward: the format cannot train.
	ForwardOnly bool
}

// The named formats.
var (
	// Native is F32, or F64 where activations are F64. BF16 is widened.
	Native = Format{}
	// BFloat16 rounds both operands to BF16, to nearest even, and sums their products
	// in F32, in the order of the backend's instruction: on the CPU two adjacent k at a
	// time, or 32 on path amx.
	BFloat16 = Format{Element: BF16, Left: BF16}
	// FP8 holds E4M3 with an F32 scale for each block of 128×128, and rounds each 128
	// elements of a row of the left operand to E4M3 with an F32 scale of its own
	// (DeepSeek-V3 §3.3.2). The scale of a block is max|w|/448, or 1 for zeros, and
	// that of activations max(max|x|, 1e-4)/448. A product adds, block of 128 k by
	// block in ascending order,
	//
	//	c = c + (scaleA·scaleB)·Σ a·b
	//
	// where the sum starts from 0 and takes two adjacent k at a time, and each product
	// and sum is rounded to F32.
	FP8 = Format{Element: E4M3, BlockK: 128, BlockN: 128, Scale: F32, Left: E4M3, LeftBlock: 128, ForwardOnly: true}
	// Q8 holds blocks of 32 elements along K as int8 with one F16 scale d =
	// max|w|/127, like Q8_0 of GGML: 8.5 bits an element. A backend may leave the
	// left operand in F32.
	Q8 = Format{Element: I8, BlockK: 32, BlockN: 1, Scale: F16, Left: I8, LeftBlock: 32, ForwardOnly: true}
	// Q4 is Q8 with 4-bit integers, like Q4_0 of GGML: 4.5 bits an element.
	Q4 = Format{Element: I8, Width: 4, BlockK: 32, BlockN: 1, Scale: F16, Left: I8, LeftBlock: 32, ForwardOnly: true}
	// Q4_1 is Q4 with integers from 0 to 15 and a minimum for each block, the type Q4_1 of
	// GGML, quantised as GGML does: d = (max−min)/15 and m = min, 5 bits an element. With
	// quantised activations q' of the scale d', a product adds, block by block in ascending
	// order,
	//
	//	c = c + (d·Σ q'·q + m·Σ q')·d'
	//
	// where the sums are exact, the parenthesis is rounded to F32 once, and so is its
	// multiply-add to c.
	Q4_1 = Format{Element: I8, Width: 4, BlockK: 32, BlockN: 1, Scale: F16, Min: true, Left: I8, LeftBlock: 32,
		ForwardOnly: true}
)

// formats names them.
var formats = []struct {
	name   string
	format Format
}{
	{"native", Native}, {"bf16", BFloat16}, {"fp8", FP8}, {"q8", Q8}, {"q4", Q4}, {"q4_1", Q4_1},
}

// Formats lists the named formats.
func Formats() []Format {
	list := make([]Format, len(formats))
	for i, row := range formats {
		list[i] = row.format
	}
	return list
}

// String is the name of a format, or the descriptor of one without a name.
func (f Format) String() string {
	for _, row := range formats {
		if row.format == f {
			return row.name
		}
	}
	type descriptor Format // without this method
	return fmt.Sprintf("Format%+v", descriptor(f))
}

// Validate reports what is impossible about the descriptor.
func (f Format) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("backend: %s: "+format, append([]any{f}, args...)...)
	}
	switch {
	case f == Native:
		return nil
	case int(f.Width) > 8*f.Element.Size():
		return fail("elements of %d bits in a %s", f.Width, f.Element)
	case (f.BlockK == 0) != (f.BlockN == 0):
		return fail("blocks of %d×%d elements, want both or neither above 0", f.BlockK, f.BlockN)
	case f.BlockK > 0 && f.Scale != F32 && f.Scale != F16:
		return fail("scales of %s, want F32 or F16", f.Scale)
	case !f.Element.IsFloat() && f.BlockK == 0:
		return fail("integers without scales")
	case f.Min && (f.BlockK == 0 || f.Element.IsFloat()):
		return fail("minimums without blocks of integers")
	}
	return nil
}

// BitsPerElement is the storage of one packed element, scales and minimums included; dt
// is the dtype of the unpacked one.
func (f Format) BitsPerElement(dt DType) float64 {
	bits := float64(f.Width)
	switch {
	case f == Native:
		bits = float64(8 * dt.Size())
	case bits == 0:
		bits = float64(8 * f.Element.Size())
	}
	if f.BlockK > 0 {
		bits += float64(8*f.BlockValues()*f.Scale.Size()) / (float64(f.BlockK) * float64(f.BlockN))
	}
	return bits
}

// BlockValues is the number of values that a block has beside its elements: a scale,
// and maybe a minimum.
func (f Format) BlockValues() int {
	switch {
	case f.BlockK == 0:
		return 0
	case f.Min:
		return 2
	}
	return 1
}

// known requires f to be a possible format.
func (c *checker) known(f Format) *checker {
	if c.err == nil {
		if err := f.Validate(); err != nil {
			c.failf("%v", err)
		}
	}
	return c
}
