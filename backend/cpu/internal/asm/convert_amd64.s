//go:build !noasm

#include "textflag.h"
#include "convert_amd64.h"
#include "convert_loop_amd64.h"

// func toBF16AVX2(dst *uint16, x *float32, n int)
TEXT ·toBF16AVX2(SB), NOSPLIT, $0-24
	ARGS
	ROUNDING

loop:
	VMOVUPS (SI)(DX*4), Y0
	VMOVUPS 32(SI)(DX*4), Y1
	ROUND(Y0, Y2, Y3, Y4)
	ROUND(Y1, Y5, Y6, Y7)
	VPSRLD $16, Y2, Y2
	VPSRLD $16, Y5, Y5
	VPACKUSDW Y5, Y2, Y2
	VPERMQ $0xD8, Y2, Y2
	VMOVDQU Y2, (DI)(DX*2)
	NEXT(loop)

// func fromBF16AVX2(dst *float32, x *uint16, n int)
TEXT ·fromBF16AVX2(SB), NOSPLIT, $0-24
	ARGS

loop:
	VPMOVZXWD (SI)(DX*2), Y0
	VPMOVZXWD 16(SI)(DX*2), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVDQU Y0, (DI)(DX*4)
	VMOVDQU Y1, 32(DI)(DX*4)
	NEXT(loop)

// func fromBF16RowsAVX2(dst *float32, dstStride int, x *uint16, stride, rows, d int)
TEXT ·fromBF16RowsAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ dstStride+8(FP), R8
	MOVQ x+16(FP), SI
	MOVQ stride+24(FP), R9
	MOVQ rows+32(FP), BX
	MOVQ d+40(FP), CX
	SHLQ $2, R8
	SHLQ $1, R9
	LEAQ (SI)(R9*8), R10 // the row eight ahead
	MOVQ CX, R11
	ANDQ $-16, R11

row:
	XORL  DX, DX
	TESTQ R11, R11
	JZ    tail

pair:
	PREFETCHT0 (R10)(DX*2)
	VPMOVZXWD (SI)(DX*2), Y0
	VPMOVZXWD 16(SI)(DX*2), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVDQU Y0, (DI)(DX*4)
	VMOVDQU Y1, 32(DI)(DX*4)
	ADDQ $16, DX
	CMPQ DX, R11
	JLT  pair

tail:
	CMPQ DX, CX
	JGE  next
	PREFETCHT0 (R10)(DX*2)
	VPMOVZXWD (SI)(DX*2), Y0
	VPSLLD $16, Y0, Y0
	VMOVDQU Y0, (DI)(DX*4)

next:
	ADDQ R8, DI
	ADDQ R9, SI
	ADDQ R9, R10
	DECQ BX
	JNZ  row
	VZEROUPPER
	RET

// func toF16AVX2(dst *uint16, x *float32, n int)
TEXT ·toF16AVX2(SB), NOSPLIT, $0-24
	ARGS

loop:
	VMOVUPS (SI)(DX*4), Y0
	VMOVUPS 32(SI)(DX*4), Y1
	VCVTPS2PH $0, Y0, (DI)(DX*2) // to nearest even
	VCVTPS2PH $0, Y1, 16(DI)(DX*2)
	NEXT(loop)

// func fromF16AVX2(dst *float32, x *uint16, n int)
TEXT ·fromF16AVX2(SB), NOSPLIT, $0-24
	ARGS

loop:
	VCVTPH2PS (SI)(DX*2), Y0
	VCVTPH2PS 16(SI)(DX*2), Y1
	VMOVUPS Y0, (DI)(DX*4)
	VMOVUPS Y1, 32(DI)(DX*4)
	NEXT(loop)
