//go:build !noasm

#include "textflag.h"
#include "float8_amd64.h"

CONSTANT(topBits, 0xfff00000)   // sign, exponent and three bits of mantissa

// LARGEST8 leaves the largest of the eight signed integers of y in AX. It
// clobbers x, the lower half of y, and X1.
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

// PAIRS encodes eight columns of a pair of rows, divided by Y14, into the lower
// words of the dwords of Y0.
#define PAIRS(off) \
	VMOVUPS off(SI), Y0 \
	VMOVUPS 64+off(SI), Y1 \
	VDIVPS Y14, Y0, Y0 \
	VDIVPS Y14, Y1, Y1 \
	ENCODE_E4M3(Y0) \
	ENCODE_E4M3(Y1) \
	VPSLLD $8, Y1, Y1 \
	VPOR Y1, Y0, Y0

// func encodePairsFP8AVX2(dst *byte, tile *float32, pairs int, scale float32)
TEXT ·encodePairsFP8AVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ tile+8(FP), SI
	MOVQ pairs+16(FP), CX
	ENCODING_E4M3
	VBROADCASTSS scale+24(FP), Y14

loop:
	PAIRS(0)
	VMOVDQU Y0, (DI)
	PAIRS(32)
	VMOVDQU (DI), Y1
	VPACKUSDW Y0, Y1, Y0
	VPERMQ $0xd8, Y0, Y0
	VMOVDQU Y0, (DI)
	ADDQ $128, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func nanColumnsAVX2(codes *byte, pairs int) uint32
TEXT ·nanColumnsAVX2(SB), NOSPLIT, $0-20
	MOVQ codes+0(FP), SI
	MOVQ pairs+8(FP), CX
	VPCMPEQB Y15, Y15, Y15
	VPSRLW $1, Y15, Y14
	VPACKSSWB Y14, Y14, Y14 // 0x7f in each byte
	VPXOR Y0, Y0, Y0

loop:
	VPAND (SI), Y14, Y1
	VPCMPEQB Y14, Y1, Y1
	VPOR Y1, Y0, Y0
	ADDQ $32, SI
	DECQ CX
	JNZ  loop
	VPXOR Y1, Y1, Y1
	VPCMPEQW Y1, Y0, Y0 // words without one
	VPACKSSWB Y0, Y0, Y0
	VPERMQ $0xd8, Y0, Y0
	VPMOVMSKB X0, AX
	XORL $0xffff, AX
	MOVL AX, ret+16(FP)
	VZEROUPPER
	RET

// func packRowPairsFP8AVX2(dst, b *byte, pairs, rs int)
TEXT ·packRowPairsFP8AVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ pairs+16(FP), CX
	MOVQ rs+24(FP), R8

loop:
	VMOVDQU (SI), X0
	VMOVDQU (SI)(R8*1), X1
	VPUNPCKLBW X1, X0, X2
	VPUNPCKHBW X1, X0, X3
	VMOVDQU X2, (DI)
	VMOVDQU X3, 16(DI)
	LEAQ (SI)(R8*2), SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop
	RET

// func splitQuadsAVX2(dst *byte, quads *float32, n int)
TEXT ·splitQuadsAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ quads+8(FP), SI
	MOVQ n+16(FP), CX
	VPXOR Y15, Y15, Y15

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPBLENDW $0xaa, Y15, Y0, Y2
	VPBLENDW $0xaa, Y15, Y1, Y3
	VPSRLD $16, Y0, Y0
	VPSRLD $16, Y1, Y1
	VPACKUSDW Y3, Y2, Y2
	VPACKUSDW Y1, Y0, Y0
	VPERMQ $0xd8, Y2, Y2
	VPERMQ $0xd8, Y0, Y0
	VMOVDQU Y2, (DI)
	VMOVDQU Y0, 32(DI)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
