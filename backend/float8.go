package backend

import "math"

// float8 describes an 8-bit floating-point type of the OCP 8-bit Floating Point
// Specification (OFP8, revision 1.0, 2023): from the highest bit down, a sign, an
// exponent and a mantissa.
type float8 struct {
	mantissa int  // number of mantissa bits
	least    int  // exponent of the smallest normal number
	last     byte // code of the largest finite number
	infinite bool // whether the code after last is infinity; the codes above it are NaN

	values [256]float32 // the number of each code
}

var (
	e4m3 = newFloat8(float8{mantissa: 3, least: -6, last: 0x7e})
	e5m2 = newFloat8(float8{mantissa: 2, least: -14, last: 0x7b, infinite: true})
)

// newFloat8 returns f with its table of values.
func newFloat8(f float8) *float8 {
	for i := range f.values {
		f.values[i] = f.decode(byte(i))
	}
	return &f
}

// decode returns the number that a code stands for.
func (f *float8) decode(code byte) float32 {
	size := code & 0x7f
	exponent, fraction := int(size>>f.mantissa), int(size)&(1<<f.mantissa-1)
	if exponent > 0 {
		fraction |= 1 << f.mantissa
		exponent--
	}
	x := math.Ldexp(float64(fraction), exponent+f.least-f.mantissa)
	switch {
	case f.infinite && size == f.last+1:
		x = math.Inf(1)
	case size > f.last:
		x = math.NaN()
	}
	if code&0x80 != 0 {
		x = math.Copysign(x, -1)
	}
	return float32(x)
}

// encode rounds x as [DType.Put] says.
func (f *float8) encode(x float64) byte {
	sign := byte(0)
	if math.Signbit(x) {
		sign = 0x80
	}
	switch {
	case x != x:
		return sign | 0x7f
	case x == 0:
		return sign
	case f.infinite && math.IsInf(x, 0):
		return sign | (f.last + 1)
	}
	a := min(math.Abs(x), float64(f.values[f.last]))
	_, exponent := math.Frexp(a) // a in [2^(exponent−1), 2^exponent)
	e := max(exponent-1, f.least)
	m := math.RoundToEven(math.Ldexp(a, f.mantissa-e)) // in units of the last mantissa bit
	// A normal m includes the implicit leading bit, which adds 1 to the exponent field.
	return sign | byte(int(m)+(e-f.least)<<f.mantissa)
}
