//go:build !noasm

#include "textflag.h"
#include "convert_loop_amd64.h"
#include "float8_amd64.h"

CONSTANT(quietNaN, 0x7fc00000)

// ENCODE16 encodes 16 floats.
#define ENCODE16(encode) \
	VMOVUPS (SI)(DX*4), Y0 \
	VMOVUPS 32(SI)(DX*4), Y1 \
	encode(Y0) \
	encode(Y1) \
	VPACKUSDW Y1, Y0, Y0 \
	VPERMQ $0xD8, Y0, Y0 \
	VEXTRACTI128 $1, Y0, X1 \
	VPACKUSWB X1, X0, X0 \
	VMOVDQU X0, (DI)(DX*1)

// func toE4M3AVX2(dst *uint8, x *float32, n int)
TEXT ·toE4M3AVX2(SB), NOSPLIT, $0-24
	ARGS
	ENCODING_E4M3

loop:
	ENCODE16(ENCODE_E4M3)
	NEXT(loop)

CONSTANT(halfUnitE5M2, 0x000fffff)
CONSTANT(biasChangeE5M2, 448) // (127-15)<<2
CONSTANT(maxE5M2, 0x47600000) // 57344
CONSTANT(minNormalE5M2, 0x38800000) // 2^-14
CONSTANT(unitShiftE5M2, 0x43000000) // 2^7
CONSTANT(infinity, 0x7f800000)

// ENCODE_E5M2 is ENCODE_E4M3 for E5M2. The code of an infinity, in Y14, is the
// one after that of the largest number.
#define ENCODE_E5M2(y) \
	SPLIT(y) \
	VPCMPEQD Y14, Y4, Y6 \
	VPSUBD Y6, Y2, Y2 \
	CODE(21, y)

// func toE5M2AVX2(dst *uint8, x *float32, n int)
TEXT ·toE5M2AVX2(SB), NOSPLIT, $0-24
	ARGS
	ENCODING(halfUnitE5M2, biasChangeE5M2, maxE5M2, minNormalE5M2, unitShiftE5M2)
	VPBROADCASTD infinity<>(SB), Y14

loop:
	ENCODE16(ENCODE_E5M2)
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
