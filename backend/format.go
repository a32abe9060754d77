package backend

// Format says how a product takes the elements of a Matrix, and with it the
// arithmetic. Sums are F32 (F64 only with Native).
type Format uint8

const (
	// Native is F32 or F64, as the left operand's Compute. BF16 is widened.
	Native Format = iota
	// BFloat16 rounds both operands to BF16, to nearest even, and sums the
	// products of each two adjacent k at a time in F32.
	BFloat16
	// Q8 holds blocks of QuantBlock elements along K as int8 with one F16 scale
	// d = max|w|/127, like Q8_0 of GGML: 8.5 bits an element. It exists packed
	// only. A backend may quantise the left operand too, row by row in blocks of
	// QuantBlock, to int8 with an F32 scale.
	Q8
	// Q4 is Q8 with 4-bit integers, like Q4_0 of GGML: 4.5 bits an element.
	Q4
)

// QuantBlock is the number of elements along K that share a scale in Q8 and Q4.
const QuantBlock = 32

var formatNames = []string{"native", "bf16", "q8", "q4"}

func (f Format) String() string { return word("Format", f, formatNames) }

// Bits is the storage of one packed element, scales included; dt is the dtype
// of the unpacked one.
func (f Format) Bits(dt DType) float64 {
	return [...]float64{8 * float64(dt.Size()), 16, 8.5, 4.5}[f]
}

// known requires f to be one of the formats.
func (c *checker) known(f Format) *checker {
	return c.that(f <= Q4, "unknown format %d", int(f))
}

// fits requires the views to suit a product whose right operand lies in data.
func (c *checker) fits(f Format, layout Layout, data *View, views ...*View) *checker {
	c.known(f)
	c.activations(views...)
	switch {
	case layout == Panels && f == Native:
		c.statistics(views[0], data)
	case layout != Panels:
		same := data.DType.Compute() == views[0].DType.Compute()
		c.thatViews(same, "%v beside %v: want both F64 or neither", data, views[0])
	}
	c.that(f == Native || views[0].DType != F64, "format %d is not for F64", int(f))
	c.that(layout == Panels || f <= BFloat16, "format %d exists packed only", int(f))
	return c
}
