//go:build !noasm

#include "textflag.h"
#include "convert_loop_amd64.h"

#define CONSTANT(name, x) \
	DATA name<>+0(SB)/4, $x \
	GLOBL name<>(SB), RODATA|NOPTR, $4

CONSTANT(one, 1)
CONSTANT(sizeBits, 0x7fffffff)
CONSTANT(nanFloat8, 0x7f)
CONSTANT(quietNaN, 0x7fc00000)

// ENCODING sets the constants of ENCODE in Y7 to Y15.
#define ENCODING(halfUnit, biasChange, largest, minNormal, unitShift) \
	VPBROADCASTD one<>(SB), Y7 \
	VPBROADCASTD sizeBits<>(SB), Y8 \
	VPBROADCASTD halfUnit<>(SB), Y9 \
	VPBROADCASTD biasChange<>(SB), Y10 \
	VPBROADCASTD largest<>(SB), Y11 \
	VPBROADCASTD minNormal<>(SB), Y12 \
	VPBROADCASTD unitShift<>(SB), Y13 \
	VPBROADCASTD nanFloat8<>(SB), Y15

// ENCODE leaves the codes of the eight floats of y in its dwords, given the bits
// of mantissa that are dropped. What has the size in Y14 gets the code after the
// largest.
#define ENCODE(dropped, y) \
	VCMPPS $3, y, y, Y3 \ // NaN?
	VPAND Y8, y, Y4 \ // size
	VPXOR Y4, y, Y2 \
	VPSRLD $24, Y2, Y2 \ // sign
	VPCMPEQD Y14, Y4, Y6 \
	VPSUBD Y6, Y2, Y2 \ // and the code after the largest
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

// ENCODE16 encodes 16 floats.
#define ENCODE16(dropped) \
	VMOVUPS (SI)(DX*4), Y0 \
	VMOVUPS 32(SI)(DX*4), Y1 \
	ENCODE(dropped, Y0) \
	ENCODE(dropped, Y1) \
	VPACKUSDW Y1, Y0, Y0 \
	VPERMQ $0xD8, Y0, Y0 \
	VEXTRACTI128 $1, Y0, X1 \
	VPACKUSWB X1, X0, X0 \
	VMOVDQU X0, (DI)(DX*1)

CONSTANT(halfUnitE4M3, 0x0007ffff) // just under half of the last bit kept
CONSTANT(biasChangeE4M3, 960) // (127-7)<<3
CONSTANT(maxE4M3, 0x43e00000) // 448
CONSTANT(minNormalE4M3, 0x3c800000) // 2^-6
CONSTANT(unitShiftE4M3, 0x46800000) // 2^14

// func toE4M3AVX2(dst *uint8, x *float32, n int)
TEXT ·toE4M3AVX2(SB), NOSPLIT, $0-24
	ARGS
	ENCODING(halfUnitE4M3, biasChangeE4M3, maxE4M3, minNormalE4M3, unitShiftE4M3)
	VPCMPEQD Y14, Y14, Y14 // no size: there are no infinities

loop:
	ENCODE16(20)
	NEXT(loop)

CONSTANT(halfUnitE5M2, 0x000fffff)
CONSTANT(biasChangeE5M2, 448) // (127-15)<<2
CONSTANT(maxE5M2, 0x47600000) // 57344
CONSTANT(minNormalE5M2, 0x38800000) // 2^-14
CONSTANT(unitShiftE5M2, 0x43000000) // 2^7
CONSTANT(infinity, 0x7f800000)

// func toE5M2AVX2(dst *uint8, x *float32, n int)
TEXT ·toE5M2AVX2(SB), NOSPLIT, $0-24
	ARGS
	ENCODING(halfUnitE5M2, biasChangeE5M2, maxE5M2, minNormalE5M2, unitShiftE5M2)
	VPBROADCASTD infinity<>(SB), Y14

loop:
	ENCODE16(21)
	NEXT(loop)

CONSTANT(rescale, 0x7b800000) // 2^120

// DECODE turns the E4M3 codes in the dwords of y into float32.
#define DECODE(y) \
	VPAND Y15, y, Y2 \
	VPXOR Y2, y, y \
	VPSLLD $24, y, y \ // sign
	VPCMPEQD Y15, Y2, Y3 \ // NaN?
	VPSLLD $20, Y2, Y2 \
	VMULPS Y14, Y2, Y2 \
	VBLENDVPS Y3, Y13, Y2, Y2 \
	VPOR Y2, y, y

// func fromE4M3AVX2(dst *float32, x *uint8, n int)
TEXT ·fromE4M3AVX2(SB), NOSPLIT, $0-24
	ARGS
	VPBROADCASTD quietNaN<>(SB), Y13
	VPBROADCASTD rescale<>(SB), Y14
	VPBROADCASTD nanFloat8<>(SB), Y15

loop:
	VPMOVZXBD (SI)(DX*1), Y0
	VPMOVZXBD 8(SI)(DX*1), Y1
	DECODE(Y0)
	DECODE(Y1)
	VMOVUPS Y0, (DI)(DX*4)
	VMOVUPS Y1, 32(DI)(DX*4)
	NEXT(loop)

// func fromE5M2AVX2(dst *float32, x *uint8, n int)
TEXT ·fromE5M2AVX2(SB), NOSPLIT, $0-24
	ARGS

loop:
	VPMOVZXBW (SI)(DX*1), Y0
	VPSLLW $8, Y0, Y0 // E5M2 is the upper half of F16
	VEXTRACTI128 $1, Y0, X1
	VCVTPH2PS X0, Y0
	VCVTPH2PS X1, Y1
	VMOVUPS Y0, (DI)(DX*4)
	VMOVUPS Y1, 32(DI)(DX*4)
	NEXT(loop)
