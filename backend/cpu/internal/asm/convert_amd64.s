//go:build !noasm

#include "textflag.h"
#include "convert_amd64.h"
#include "e4m3_amd64.h"

// The conversions take 16 elements at a time, n in all; DX counts them.

#define ARGS \
	MOVQ dst+0(FP), DI \
	MOVQ x+8(FP), SI \
	MOVQ n+16(FP), CX \
	XORL DX, DX

#define NEXT(loop) \
	ADDQ $16, DX \
	CMPQ DX, CX \
	JLT  loop \
	VZEROUPPER \
	RET

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

// func toE4M3AVX2(dst *uint8, x *float32, n int)
TEXT ·toE4M3AVX2(SB), NOSPLIT, $0-24
	ARGS
	ENCODING

loop:
	VMOVUPS (SI)(DX*4), Y0
	VMOVUPS 32(SI)(DX*4), Y1
	ENCODE(Y0)
	ENCODE(Y1)
	VPACKUSDW Y1, Y0, Y0
	VPERMQ $0xD8, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPACKUSWB X1, X0, X0
	VMOVDQU X0, (DI)(DX*1)
	NEXT(loop)

CONSTANT(rescale, 0x7b800000)    // 2^120
CONSTANT(quietNaN, 0x7fc00000)

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
	VPBROADCASTD nanE4M3<>(SB), Y15

loop:
	VPMOVZXBD (SI)(DX*1), Y0
	VPMOVZXBD 8(SI)(DX*1), Y1
	DECODE(Y0)
	DECODE(Y1)
	VMOVUPS Y0, (DI)(DX*4)
	VMOVUPS Y1, 32(DI)(DX*4)
	NEXT(loop)
