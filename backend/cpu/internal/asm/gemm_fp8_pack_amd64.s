//go:build !noasm

#include "textflag.h"
#include "float8_amd64.h"

CONSTANT(sizeE4M3, 0x7f7f7f7f)
CONSTANT(exponentE4M3, 0x78787878)
CONSTANT(topBits, 0xfff00000)   // sign, exponent and three bits of mantissa

// LARGEST8 leaves the largest of the eight signed integers of y in AX. x is the
// lower half of y. It clobbers x and X1.
#define LARGEST8(y, x) \
	VEXTRACTI128 $1, y, X1 \
	VPMAXSD X1, x, x \
	VPSHUFD $0x4e, x, X1 \
	VPMAXSD X1, x, x \
	VPSHUFD $0xb1, x, X1 \
	VPMAXSD X1, x, x \
	VMOVD x, AX

// SIZE updates the largest magnitudes in m with eight elements.
#define SIZE(off, m) \
	VPAND off(SI), Y8, Y1 \
	VPMAXSD Y1, m, m

// ROUND divides the eight floats of y by Y14 and rounds them to E4M3 numbers, as
// float32. Infinities become ±448. It clobbers Y2 to Y5.
#define ROUND(y) \
	VDIVPS Y14, y, y \
	VPANDN y, Y8, Y2 \ // sign
	VPAND Y8, y, y \
	VMINPS Y11, y, y \
	VPSRLD $20, y, Y3 \
	VPAND Y7, Y3, Y3 \
	VPADDD Y9, Y3, Y3 \
	VPADDD y, Y3, Y3 \
	VPAND Y10, Y3, Y3 \ // a normal
	VADDPS Y13, y, Y4 \
	VSUBPS Y13, Y4, Y4 \ // a subnormal
	VCMPPS $1, Y12, y, Y5 \
	VBLENDVPS Y5, Y4, Y3, y \
	VPOR Y2, y, y

// func quantRowFP8AVX2(scales, dst *byte, x *float32, blocks int)
TEXT ·quantRowFP8AVX2(SB), NOSPLIT, $0-32
	MOVQ scales+0(FP), R8
	MOVQ dst+8(FP), DI
	MOVQ x+16(FP), SI
	MOVQ blocks+24(FP), CX
	ENCODING_E4M3
	VPBROADCASTD topBits<>(SB), Y10

block:
	VPXOR Y0, Y0, Y0
	MOVQ $4, DX

size:
	SIZE(0, Y0)
	SIZE(32, Y0)
	SIZE(64, Y0)
	SIZE(96, Y0)
	ADDQ $128, SI
	DECQ DX
	JNZ  size
	SUBQ $512, SI
	LARGEST8(Y0, X0)
	MOVQ $8, DX
	CMPL AX, $0x7f800000 // infinity
	JGE  nan
	CMPL AX, $0x38d1b717 // 1e-4
	JGE  2(PC)
	MOVL $0x38d1b717, AX
	VMOVD AX, X0
	VDIVSS X11, X0, X0
	VMOVSS X0, (R8)
	VBROADCASTSS X0, Y14

numbers:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	ROUND(Y0)
	ROUND(Y1)
	VPSRLD $16, Y0, Y0
	VPSRLD $16, Y1, Y1
	VPACKUSDW Y1, Y0, Y0
	VPERMQ $0xd8, Y0, Y0
	VMOVDQU Y0, (DI)
	ADDQ $64, SI
	ADDQ $32, DI
	DECQ DX
	JNZ  numbers
	JMP  next

nan:
	MOVL $0x7fc00000, (R8)
	VPXOR Y0, Y0, Y0

zeros:
	VMOVDQU Y0, (DI)
	ADDQ $32, DI
	DECQ DX
	JNZ  zeros
	ADDQ $512, SI

next:
	ADDQ $4, R8
	DECQ CX
	JNZ  block
	VZEROUPPER
	RET

// func largestSizeAVX2(x *float32, n int) uint32
TEXT ·largestSizeAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VPBROADCASTD sizeBits<>(SB), Y8
	VPXOR Y0, Y0, Y0
	VPXOR Y2, Y2, Y2

loop:
	SIZE(0, Y0)
	SIZE(32, Y2)
	ADDQ $64, SI
	SUBQ $16, CX
	JNZ  loop
	VPMAXSD Y2, Y0, Y0
	LARGEST8(Y0, X0)
	MOVL AX, ret+16(FP)
	VZEROUPPER
	RET

// CODES divides eight elements by the scale, encodes them and leaves the codes
// in byte shift/8 of the dwords of Y0.
#define CODES(off, shift) \
	VMOVUPS off(SI), Y0 \
	VDIVPS Y1, Y0, Y0 \
	ENCODE_E4M3(Y0) \
	VPSLLD $shift, Y0, Y0

// QUAD encodes eight columns of a quad of rows.
#define QUAD(off) \
	CODES(off+128, 0) \
	VMOVDQU Y0, off(DI) \
	CODES(off, 8) \
	VPOR off(DI), Y0, Y0 \
	VMOVDQU Y0, off(DI) \
	CODES(off+192, 16) \
	VPOR off(DI), Y0, Y0 \
	VMOVDQU Y0, off(DI) \
	CODES(off+64, 24) \
	VPOR off(DI), Y0, Y0 \
	VMOVDQU Y0, off(DI)

// func encodeQuadsFP8AVX2(dst *byte, tile *float32, n int, scale float32)
TEXT ·encodeQuadsFP8AVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ tile+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Y1
	ENCODING_E4M3

loop:
	QUAD(0)
	QUAD(32)
	ADDQ $256, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func marksFP8AVX2(codes *byte, n int) (nan, small uint32)
TEXT ·marksFP8AVX2(SB), NOSPLIT, $0-24
	MOVQ codes+0(FP), SI
	MOVQ n+8(FP), BX
	XORL CX, CX
	XORL DX, DX
	MOVL $1, R8
	VPBROADCASTD sizeE4M3<>(SB), Y14
	VPBROADCASTD exponentE4M3<>(SB), Y15
	VPXOR Y13, Y13, Y13
	VPXOR Y10, Y10, Y10
	VPXOR Y11, Y11, Y11

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPAND Y14, Y0, Y2
	VPAND Y14, Y1, Y3
	VPCMPEQB Y14, Y2, Y2
	VPCMPEQB Y14, Y3, Y3
	VPOR Y2, Y10, Y10 // NaN in columns 0 to 7
	VPOR Y3, Y11, Y11 // and in 8 to 15
	VPAND Y15, Y0, Y0
	VPAND Y15, Y1, Y1
	VPMINUB Y1, Y0, Y0
	VPCMPEQB Y13, Y0, Y0
	XORL AX, AX
	VPTEST Y0, Y0
	CMOVLNE R8, AX
	ORL  AX, DX
	ADDL R8, R8
	ADDQ $64, SI
	DECQ BX
	JNZ  loop
	MOVL DX, small+20(FP)
	VPCMPEQD Y13, Y10, Y10
	VPCMPEQD Y13, Y11, Y11
	VMOVMSKPS Y10, AX
	VMOVMSKPS Y11, BX
	SHLL $8, BX
	ORL  BX, AX
	XORL $0xffff, AX
	MOVL AX, nan+16(FP)
	VZEROUPPER
	RET

// func packRowQuadsAVX2(dst, b *byte, n, rs int)
TEXT ·packRowQuadsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ rs+24(FP), R8
	LEAQ (R8)(R8*2), R9

loop:
	VMOVDQU (SI), X0
	VMOVDQU (SI)(R8*1), X1
	VMOVDQU (SI)(R8*2), X2
	VMOVDQU (SI)(R9*1), X3
	VPUNPCKLBW X0, X2, X4 // words of rows 2 and 0
	VPUNPCKHBW X0, X2, X5
	VPUNPCKLBW X1, X3, X6 // words of rows 3 and 1
	VPUNPCKHBW X1, X3, X7
	VPUNPCKLWD X6, X4, X0
	VPUNPCKHWD X6, X4, X1
	VPUNPCKLWD X7, X5, X2
	VPUNPCKHWD X7, X5, X3
	VMOVDQU X0, (DI)
	VMOVDQU X1, 16(DI)
	VMOVDQU X2, 32(DI)
	VMOVDQU X3, 48(DI)
	LEAQ (SI)(R8*4), SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop
	RET

// The order of bytes in each dword: 2, 0, 3, 1.
DATA quadOrder<>+0(SB)/8, $0x0507040601030002
DATA quadOrder<>+8(SB)/8, $0x0d0f0c0e090b080a
GLOBL quadOrder<>(SB), RODATA|NOPTR, $16

// func orderQuadsAVX2(dst *byte, quads *float32, n int)
TEXT ·orderQuadsAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ quads+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTI128 quadOrder<>(SB), Y15

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPSHUFB Y15, Y0, Y0
	VPSHUFB Y15, Y1, Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
