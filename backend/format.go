package backend

import "fmt"

// Format describes how a matrix of weights is stored and how products round their
// operands, and so fixes their arithmetic. Formats can be compared with ==. A new format
// is a row of the table below, its definition in package backendtest, and kernels.
//
// A strided matrix of F32 or BF16 may have any format: a product then converts it each
// time that it runs. Sums are F32, or F64 in Native.
type Format struct {
	// Element is the dtype of the stored elements.
	Element DType
	// Width is the number of bits of an element that is narrower than Element. If 0,
	// elements have all bits of Element.
	Width uint8
	// BlockK and BlockN are the rows (along K) and columns (along N) of a block of
	// elements that share a scale d: an element q stands for d·q. The last blocks may be
	// smaller. If 0, there are no scales.
	BlockK, BlockN uint16
	// Scale is the dtype of the scales.
	Scale DType
	// Min says that a block also has a minimum m, of the same dtype as its scale: an
	// element q is an integer ≥ 0 and stands for d·q + m.
	Min bool
	// Left is the dtype to which products round their left operand, and LeftBlock is the
	// number of adjacent elements in a row of it that share an F32 scale. If LeftBlock is
	// 0, there are no scales.
	Left      DType
	LeftBlock uint16
	// ForwardOnly says that products have no backward pass: the format cannot train.
	ForwardOnly bool
}

// The named formats.
var (
	// Native is F32, or F64 if the activations are F64. BF16 is widened to F32.
	Native = Format{}
	// BFloat16 rounds both operands to BF16, to nearest even, and sums their products
	// in F32, in the order of the backend's instruction: on the CPU two adjacent k at a
	// time, or 32 on path amx.
	BFloat16 = Format{Element: BF16, Left: BF16}
	// FP8 stores E4M3 elements with an F32 scale for each block of 128×128, and rounds
	// each 128 elements of a row of the left operand to E4M3 with an F32 scale of their
	// own (DeepSeek-V3 §3.3.2). The scale of a block is max|w|/448, or 1 if all are 0; the
	// scale of activations is max(max|x|, 1e-4)/448. For each block of 128 k, in ascending
	// order, a product computes
	//
	//	c = c + (scaleA·scaleB)·Σ a·b
	//
	// where the sum starts from 0 and takes two adjacent k at a time, and each product
	// and sum is rounded to F32.
	FP8 = Format{Element: E4M3, BlockK: 128, BlockN: 128, Scale: F32, Left: E4M3, LeftBlock: 128, ForwardOnly: true}
	// Q8 stores blocks of 32 elements along K as int8 with one F16 scale d =
	// max|w|/127, like Q8_0 of GGML: 8.5 bits an element. A backend may leave the
	// left operand in F32.
	Q8 = Format{Element: I8, BlockK: 32, BlockN: 1, Scale: F16, Left: I8, LeftBlock: 32, ForwardOnly: true}
	// Q4 is Q8 with 4-bit integers, like Q4_0 of GGML: 4.5 bits an element.
	Q4 = Format{Element: I8, Width: 4, BlockK: 32, BlockN: 1, Scale: F16, Left: I8, LeftBlock: 32, ForwardOnly: true}
	// Q4_1 is Q4 with integers from 0 to 15 and a minimum for each block, the type Q4_1 of
	// GGML, quantised as GGML does: d = (max−min)/15 and m = min, 5 bits an element. For
	// each block of k, in ascending order, with activations quantised to q' with the scale
	// d', a product computes
	//
	//	c = c + (d·Σ q'·q + m·Σ q')·d'
	//
	// where the two sums are exact, and the parenthesis and its multiply-add to c are each
	// rounded to F32 once.
	Q4_1 = Format{Element: I8, Width: 4, BlockK: 32, BlockN: 1, Scale: F16, Min: true, Left: I8, LeftBlock: 32,
		ForwardOnly: true}
)

// formats lists the named formats.
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

// String returns the name of a format, or its fields if it has no name.
func (f Format) String() string {
	for _, row := range formats {
		if row.format == f {
			return row.name
		}
	}
	type descriptor Format // without this method
	return fmt.Sprintf("Format%+v", descriptor(f))
}

// Validate returns an error if the fields contradict each other.
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

// BitsPerElement returns the storage of one packed element in bits, scales and minimums
// included; dt is the dtype of the unpacked element.
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

// BlockValues returns the number of values that a block stores besides its elements: its
// scale and, if Min, its minimum.
func (f Format) BlockValues() int {
	switch {
	case f.BlockK == 0:
		return 0
	case f.Min:
		return 2
	}
	return 1
}

// validFormat requires f to be a valid format.
func (c *checker) validFormat(f Format) *checker {
	if c.err == nil {
		if err := f.Validate(); err != nil {
			c.failf("%v", err)
		}
	}
	return c
}
