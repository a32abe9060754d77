//go:build !noasm

#include "textflag.h"
#include "convert_amd64.h"

// func widenPairsAVX2(dst *float32, x *uint16, k int)
TEXT ·widenPairsAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ k+16(FP), CX
	XORL DX, DX
	MOVQ CX, BX
	ANDQ $~7, BX
	JZ   pairs

eights:
	VPMOVZXWD (SI)(DX*2), Y0
	VPSLLD $16, Y0, Y0
	VPSHUFD $0xB1, Y0, Y0
	VMOVDQU Y0, (DI)(DX*4)
	ADDQ $8, DX
	CMPQ DX, BX
	JLT  eights

pairs:
	CMPQ DX, CX
	JGE  done
	MOVL (SI)(DX*2), AX
	MOVL AX, BX
	ANDL $0xFFFF0000, BX
	SHLL $16, AX
	MOVL BX, (DI)(DX*4)
	MOVL AX, 4(DI)(DX*4)
	ADDQ $2, DX
	JMP  pairs

done:
	VZEROUPPER
	RET

// func widenPanelAVX2(dst *float32, panel *uint16, k int)
TEXT ·widenPanelAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ panel+8(FP), SI
	MOVQ k+16(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSLLD $16, Y15, Y15

rows:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPAND Y15, Y0, Y2
	VPAND Y15, Y1, Y3
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVDQU Y2, (DI)
	VMOVDQU Y3, 32(DI)
	VMOVDQU Y0, 64(DI)
	VMOVDQU Y1, 96(DI)
	ADDQ $64, SI
	ADDQ $128, DI
	SUBQ $2, CX
	JNZ  rows
	VZEROUPPER
	RET

// PAIRS packs eight columns of two rows. src points to the first row, and R8 is
// the distance to the second.
#define PAIRS(off) \
	VMOVUPS off(SI), Y0 \
	VMOVUPS off(SI)(R8*1), Y1 \
	ROUND(Y0, Y2, Y3, Y4) \
	ROUND(Y1, Y5, Y6, Y7) \
	VPSRLD $16, Y2, Y2 \
	VPAND Y8, Y5, Y5 \
	VPOR Y5, Y2, Y2 \
	VMOVDQU Y2, off(DI)

// func packRowPairsAVX2(dst *uint16, b *float32, k, rs int)
TEXT ·packRowPairsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ rs+24(FP), R8
	SHLQ $2, R8
	ROUNDING
	VPCMPEQD Y8, Y8, Y8
	VPSLLD $16, Y8, Y8

rows:
	PAIRS(0)
	PAIRS(32)
	LEAQ (SI)(R8*2), SI
	ADDQ $64, DI
	SUBQ $2, CX
	JNZ  rows
	VZEROUPPER
	RET

// func packRowPairsBitsAVX2(dst, b *uint16, k, rs int)
TEXT ·packRowPairsBitsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ rs+24(FP), R8
	SHLQ $1, R8

rows:
	VPERMQ $0xD8, (SI), Y0
	VPERMQ $0xD8, (SI)(R8*1), Y1
	VPUNPCKLWD Y1, Y0, Y2
	VPUNPCKHWD Y1, Y0, Y3
	VMOVDQU Y2, (DI)
	VMOVDQU Y3, 32(DI)
	LEAQ (SI)(R8*2), SI
	ADDQ $64, DI
	SUBQ $2, CX
	JNZ  rows
	VZEROUPPER
	RET
