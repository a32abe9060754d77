// Rounding of float32 to FP8, used by the conversions and by packing.

#define CONSTANT(name, x) \
	DATA name<>+0(SB)/4, $x \
	GLOBL name<>(SB), RODATA|NOPTR, $4

CONSTANT(one, 1)
CONSTANT(sizeBits, 0x7fffffff)
CONSTANT(nanFloat8, 0x7f)

CONSTANT(halfUnitE4M3, 0x0007ffff) // just under half of the last bit kept
CONSTANT(biasChangeE4M3, 960) // (127-7)<<3
CONSTANT(maxE4M3, 0x43e00000) // 448
CONSTANT(minNormalE4M3, 0x3c800000) // 2^-6
CONSTANT(unitShiftE4M3, 0x46800000) // 2^14

// ENCODING sets the constants of an encoding in Y7 to Y13 and Y15.
#define ENCODING(halfUnit, biasChange, largest, minNormal, unitShift) \
	VPBROADCASTD one<>(SB), Y7 \
	VPBROADCASTD sizeBits<>(SB), Y8 \
	VPBROADCASTD halfUnit<>(SB), Y9 \
	VPBROADCASTD biasChange<>(SB), Y10 \
	VPBROADCASTD largest<>(SB), Y11 \
	VPBROADCASTD minNormal<>(SB), Y12 \
	VPBROADCASTD unitShift<>(SB), Y13 \
	VPBROADCASTD nanFloat8<>(SB), Y15

#define ENCODING_E4M3 ENCODING(halfUnitE4M3, biasChangeE4M3, maxE4M3, minNormalE4M3, unitShiftE4M3)

// SPLIT leaves the signs of the eight floats of y in bit 7 of the dwords of Y2,
// their magnitudes in Y4, and a mask of those that are NaN in Y3.
#define SPLIT(y) \
	VCMPPS $3, y, y, Y3 \ // NaN?
	VPAND Y8, y, Y4 \ // size
	VPXOR Y4, y, Y2 \
	VPSRLD $24, Y2, Y2 // sign

// CODE leaves codes in the dwords of y, computed from the results of SPLIT.
// dropped is the number of mantissa bits to drop. It clobbers Y4 to Y6.
#define CODE(dropped, y) \
	VMINPS Y11, Y4, y \
	VPSRLD $dropped, y, Y4 \
	VPAND Y7, Y4, Y4 \
	VPADDD Y9, Y4, Y4 \
	VPADDD y, Y4, Y4 \
	VPSRLD $dropped, Y4, Y4 \
	VPSUBD Y10, Y4, Y4 \ // code of a normal
	VADDPS Y13, y, Y5 \
	VPSUBD Y13, Y5, Y5 \ // code of a subnormal
	VCMPPS $1, Y12, y, Y6 \
	VBLENDVPS Y6, Y5, Y4, y \
	VPADDD Y2, y, y \
	VBLENDVPS Y3, Y15, y, y

// ENCODE_E4M3 replaces the eight floats of y by their E4M3 codes, one in each
// dword. It clobbers Y2 to Y6.
#define ENCODE_E4M3(y) \
	SPLIT(y) \
	CODE(20, y)
