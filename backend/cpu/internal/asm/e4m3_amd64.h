// Rounding of float32 to E4M3, shared by the conversions and the packing.

#define CONSTANT(name, x) \
	DATA name<>+0(SB)/4, $x \
	GLOBL name<>(SB), RODATA|NOPTR, $4

CONSTANT(one, 1)
CONSTANT(sizeBits, 0x7fffffff)
CONSTANT(halfUnit, 0x0007ffff)   // just under half of the last bit kept
CONSTANT(biasChange, 960)        // (127-7)<<3
CONSTANT(maxE4M3, 0x43e00000)    // 448
CONSTANT(minNormal, 0x3c800000)  // 2^-6
CONSTANT(unitShift, 0x46800000)  // 2^14
CONSTANT(signE4M3, 0x80)
CONSTANT(nanE4M3, 0x7f)

// ENCODING sets the constants of ENCODE, in Y7 to Y15.
#define ENCODING \
	VPBROADCASTD one<>(SB), Y7 \
	VPBROADCASTD sizeBits<>(SB), Y8 \
	VPBROADCASTD halfUnit<>(SB), Y9 \
	VPBROADCASTD biasChange<>(SB), Y10 \
	VPBROADCASTD maxE4M3<>(SB), Y11 \
	VPBROADCASTD minNormal<>(SB), Y12 \
	VPBROADCASTD unitShift<>(SB), Y13 \
	VPBROADCASTD signE4M3<>(SB), Y14 \
	VPBROADCASTD nanE4M3<>(SB), Y15

// ENCODE leaves the E4M3 codes of the eight floats of y in its dwords. It
// clobbers Y2 to Y6.
#define ENCODE(y) \
	VPSRLD $24, y, Y2 \
	VPAND Y14, Y2, Y2 \ // sign
	VCMPPS $3, y, y, Y3 \ // NaN?
	VPAND Y8, y, y \
	VMINPS Y11, y, y \ // size
	VPSRLD $20, y, Y4 \
	VPAND Y7, Y4, Y4 \
	VPADDD Y9, Y4, Y4 \
	VPADDD y, Y4, Y4 \
	VPSRLD $20, Y4, Y4 \
	VPSUBD Y10, Y4, Y4 \ // code of a normal
	VADDPS Y13, y, Y5 \
	VPSUBD Y13, Y5, Y5 \ // code of a subnormal
	VCMPPS $1, Y12, y, Y6 \
	VBLENDVPS Y6, Y5, Y4, y \
	VPOR Y2, y, y \
	VBLENDVPS Y3, Y15, y, y
