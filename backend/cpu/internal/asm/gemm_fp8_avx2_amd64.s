//go:build !noasm

#include "textflag.h"

// Moved to the exponent and mantissa bits of a float32, those of an E4M3 code
// give 2⁻¹²⁰ times its number, subnormals included. The codes of NaN become
// ±480 here; the scales make the sums of their columns NaN.

DATA singles<>+0(SB)/4, $0x87f00000 // sign, exponent and mantissa
DATA singles<>+4(SB)/4, $0x7b800000 // 2¹²⁰
DATA singles<>+8(SB)/4, $0x7fc00000 // NaN
GLOBL singles<>(SB), RODATA|NOPTR, $12

// The bit of each column in a mask.
DATA columnBits<>+0(SB)/4, $1
DATA columnBits<>+4(SB)/4, $2
DATA columnBits<>+8(SB)/4, $4
DATA columnBits<>+12(SB)/4, $8
DATA columnBits<>+16(SB)/4, $16
DATA columnBits<>+20(SB)/4, $32
DATA columnBits<>+24(SB)/4, $64
DATA columnBits<>+28(SB)/4, $128
GLOBL columnBits<>(SB), RODATA|NOPTR, $32

// ROW widens eight columns of a row of codes, which are in the upper bytes of
// the dwords of y.
#define ROW(y, off) \
	VPSRAD $4, y, y \
	VPAND Y15, y, y \
	VMULPS Y14, y, y \
	VMOVUPS y, off(DI)

// ROWS widens eight columns of a quad of rows and exchanges the rows of each
// pair.
#define ROWS(src, dst) \
	VMOVDQU src(SI), Y0 \
	VPSLLD $16, Y0, Y1 \
	VPSLLD $8, Y0, Y2 \
	VPSLLD $24, Y0, Y3 \
	ROW(Y0, dst) \
	ROW(Y1, dst+64) \
	ROW(Y2, dst+128) \
	ROW(Y3, dst+192)

// func widenPanelFP8AVX2(dst *float32, codes *byte, quads int)
TEXT ·widenPanelFP8AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ codes+8(FP), SI
	MOVQ quads+16(FP), CX
	VPBROADCASTD singles<>+0(SB), Y15
	VPBROADCASTD singles<>+4(SB), Y14

loop:
	ROWS(0, 0)
	ROWS(32, 32)
	ADDQ $64, SI
	ADDQ $256, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func addScaledFP8AVX2(m int, sums *float32, ldsums int, rowScales *byte, rowStep int, marks *byte,
//	c *float32, ldc int)
TEXT ·addScaledFP8AVX2(SB), NOSPLIT, $0-64
	MOVQ m+0(FP), CX
	MOVQ sums+8(FP), SI
	MOVQ ldsums+16(FP), R8
	SHLQ $2, R8
	MOVQ rowScales+24(FP), DX
	MOVQ rowStep+32(FP), R9
	MOVQ marks+40(FP), AX
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R10
	SHLQ $2, R10

	// Load the scales of the columns, NaN for a column that has a NaN.
	VBROADCASTSS (AX), Y12
	VPBROADCASTD 4(AX), Y0
	VPSRLD $8, Y0, Y1
	VMOVDQU columnBits<>(SB), Y2
	VPAND Y2, Y0, Y0
	VPAND Y2, Y1, Y1
	VPCMPEQD Y2, Y0, Y0
	VPCMPEQD Y2, Y1, Y1
	VPBROADCASTD singles<>+8(SB), Y2
	VBLENDVPS Y1, Y2, Y12, Y13
	VBLENDVPS Y0, Y2, Y12, Y12

row:
	VBROADCASTSS (DX), Y0
	VMULPS Y12, Y0, Y1
	VMULPS Y13, Y0, Y2
	VMULPS (SI), Y1, Y1
	VMULPS 32(SI), Y2, Y2
	VADDPS (DI), Y1, Y1
	VADDPS 32(DI), Y2, Y2
	VMOVUPS Y1, (DI)
	VMOVUPS Y2, 32(DI)
	ADDQ R8, SI
	ADDQ R9, DX
	ADDQ R10, DI
	DECQ CX
	JNZ  row
	VZEROUPPER
	RET
