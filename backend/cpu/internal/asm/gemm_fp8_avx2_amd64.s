//go:build !noasm

#include "textflag.h"

// Half precision, F16, has subnormals at the place of those of E4M3: the code
// shifted into it gives the number times 2⁻⁸. A NaN gives ±480·2⁻⁸; scales make the
// sums of its column NaN.

DATA halves<>+0(SB)/4, $0xbf80bf80 // sign, exponent and mantissa in F16
DATA halves<>+4(SB)/4, $0x43800000 // 2⁸
DATA halves<>+8(SB)/4, $0x7fc00000 // NaN
GLOBL halves<>(SB), RODATA|NOPTR, $12

// The bits of columns.
DATA columnBits<>+0(SB)/4, $1
DATA columnBits<>+4(SB)/4, $2
DATA columnBits<>+8(SB)/4, $4
DATA columnBits<>+12(SB)/4, $8
DATA columnBits<>+16(SB)/4, $16
DATA columnBits<>+20(SB)/4, $32
DATA columnBits<>+24(SB)/4, $64
DATA columnBits<>+28(SB)/4, $128
GLOBL columnBits<>(SB), RODATA|NOPTR, $32

// func widenPanelFP8AVX2(dst *float32, codes *byte, k int)
TEXT ·widenPanelFP8AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ codes+8(FP), SI
	MOVQ k+16(FP), CX
	VPBROADCASTD halves<>+0(SB), Y15

loop:
	VMOVDQU (SI), Y0
	VPSLLW $8, Y0, Y1
	VPSRAW $1, Y0, Y0
	VPSRAW $1, Y1, Y1
	VPAND Y15, Y0, Y0 // row p+1
	VPAND Y15, Y1, Y1 // row p
	VEXTRACTI128 $1, Y0, X2
	VEXTRACTI128 $1, Y1, X3
	VCVTPH2PS X0, Y0
	VCVTPH2PS X2, Y2
	VCVTPH2PS X1, Y1
	VCVTPH2PS X3, Y3
	VMOVUPS Y0, (DI)
	VMOVUPS Y2, 32(DI)
	VMOVUPS Y1, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ $32, SI
	ADDQ $128, DI
	SUBQ $2, CX
	JNZ  loop
	VZEROUPPER
	RET

// func addScaledFP8AVX2(m int, sums *float32, ldsums int, rowScales *byte, rowStep int, scale *byte,
//	c *float32, ldc int)
TEXT ·addScaledFP8AVX2(SB), NOSPLIT, $0-64
	MOVQ m+0(FP), CX
	MOVQ sums+8(FP), SI
	MOVQ ldsums+16(FP), R8
	SHLQ $2, R8
	MOVQ rowScales+24(FP), DX
	MOVQ rowStep+32(FP), R9
	MOVQ scale+40(FP), AX
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R10
	SHLQ $2, R10

	// The scales of the columns, NaN where they have one.
	VBROADCASTSS (AX), Y12
	VPBROADCASTD 4(AX), Y0
	VPSRLD $8, Y0, Y1
	VMOVDQU columnBits<>(SB), Y2
	VPAND Y2, Y0, Y0
	VPAND Y2, Y1, Y1
	VPCMPEQD Y2, Y0, Y0
	VPCMPEQD Y2, Y1, Y1
	VPBROADCASTD halves<>+8(SB), Y2
	VBLENDVPS Y1, Y2, Y12, Y13
	VBLENDVPS Y0, Y2, Y12, Y12
	VPBROADCASTD halves<>+4(SB), Y15

row:
	VBROADCASTSS (DX), Y0
	VMULPS Y12, Y0, Y1
	VMULPS Y13, Y0, Y2
	VMULPS (SI), Y15, Y3
	VMULPS 32(SI), Y15, Y4
	VMULPS Y3, Y1, Y1
	VMULPS Y4, Y2, Y2
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
