//go:build !noasm

#include "textflag.h"
#include "transpose_avx512_amd64.h"

// MASK sets k to the first r bits, r ≤ 16; it clobbers AX.
#define MASK(r, k) MOVL $-1, AX; BZHIL r, AX, AX; KMOVW AX, k

// func packRowsAVX512(dst, b *float32, k, n, rs int)
TEXT ·packRowsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ n+24(FP), DX
	MASK(DX, K1)
	MOVQ rs+32(FP), R8
	SHLQ $2, R8

rows:
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS Z0, (DI)
	ADDQ R8, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET

// Rows are often too far apart for the processor to detect the pattern, so those
// 8 later are prefetched.

// func packWideAVX512(dst, b *float32, k, n, rs, step int)
TEXT ·packWideAVX512(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ n+24(FP), DX
	MASK(DX, K1)
	SHLQ $2, DX
	LEAQ (DX)(DX*2), R11
	MOVQ rs+32(FP), R8
	SHLQ $2, R8
	MOVQ step+40(FP), R9
	SHLQ $2, R9
	LEAQ (R9)(R9*2), R10

rows:
	PREFETCHT0 (SI)(R8*8)
	PREFETCHT0 64(SI)(R8*8)
	PREFETCHT0 128(SI)(R8*8)
	PREFETCHT0 192(SI)(R8*8)
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS.Z (SI)(DX*1), K1, Z1
	VMOVUPS.Z (SI)(DX*2), K1, Z2
	VMOVUPS.Z (SI)(R11*1), K1, Z3
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, (DI)(R9*1)
	VMOVUPS Z2, (DI)(R9*2)
	VMOVUPS Z3, (DI)(R10*1)
	ADDQ R8, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET

// The transpose processes 16 elements of 16 columns at a time, like
// TRANSPOSE512. COLUMNi loads column i unless there are only i columns; lanes
// of missing columns keep their content. ACROSS is QUARTERS that also clears
// these lanes. ROWi stores row i-1 and stops if there are only i rows.

#define COLUMN(i, a, z) CMPQ DX, $i; JEQ loaded; VMOVUPS.Z a, K1, z

#define ACROSS(u0, u1, u2, u3) \
	VSHUFF32X4 $0x44, u1, u0, Z16 \
	VSHUFF32X4 $0xEE, u1, u0, Z17 \
	VSHUFF32X4 $0x44, u3, u2, Z18 \
	VSHUFF32X4 $0xEE, u3, u2, Z19 \
	VSHUFF32X4.Z $0x88, Z18, Z16, K2, u0 \
	VSHUFF32X4.Z $0xDD, Z18, Z16, K2, u1 \
	VSHUFF32X4.Z $0x88, Z19, Z17, K2, u2 \
	VSHUFF32X4.Z $0xDD, Z19, Z17, K2, u3

#define ROW(i, z) VMOVUPS z, (64*i-64)(DI); CMPQ CX, $i; JEQ done

// func packTransposedAVX512(dst, b *float32, k, n, cs int)
TEXT ·packTransposedAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ n+24(FP), DX
	MASK(DX, K2)
	MOVQ cs+32(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (SI)(R10*1), R11
	LEAQ (SI)(R10*2), R12
	ADDQ R10, R10
	KXNORW K1, K1, K1

tile:
	CMPQ CX, $16
	JGE  whole
	MASK(CX, K1)

whole:
	VMOVUPS.Z (SI), K1, Z0
	COLUMN(1, (SI)(R8*1), Z1)
	COLUMN(2, (SI)(R8*2), Z2)
	COLUMN(3, (SI)(R9*1), Z3)
	COLUMN(4, (SI)(R8*4), Z4)
	COLUMN(5, (R11), Z5)
	COLUMN(6, (R11)(R8*1), Z6)
	COLUMN(7, (R11)(R8*2), Z7)
	COLUMN(8, (R11)(R9*1), Z8)
	COLUMN(9, (R11)(R8*4), Z9)
	COLUMN(10, (R12), Z10)
	COLUMN(11, (R12)(R8*1), Z11)
	COLUMN(12, (R12)(R8*2), Z12)
	COLUMN(13, (R12)(R9*1), Z13)
	COLUMN(14, (R12)(R8*4), Z14)
	COLUMN(15, (R11)(R10*1), Z15)

loaded:
	FOURDWORDS(Z0, Z1, Z2, Z3)
	FOURDWORDS(Z4, Z5, Z6, Z7)
	FOURDWORDS(Z8, Z9, Z10, Z11)
	FOURDWORDS(Z12, Z13, Z14, Z15)
	ACROSS(Z0, Z4, Z8, Z12)
	ACROSS(Z1, Z5, Z9, Z13)
	ACROSS(Z2, Z6, Z10, Z14)
	ACROSS(Z3, Z7, Z11, Z15)
	ROW(1, Z0)
	ROW(2, Z1)
	ROW(3, Z2)
	ROW(4, Z3)
	ROW(5, Z4)
	ROW(6, Z5)
	ROW(7, Z6)
	ROW(8, Z7)
	ROW(9, Z8)
	ROW(10, Z9)
	ROW(11, Z10)
	ROW(12, Z11)
	ROW(13, Z12)
	ROW(14, Z13)
	ROW(15, Z14)
	ROW(16, Z15)
	ADDQ $64, SI
	ADDQ $64, R11
	ADDQ $64, R12
	ADDQ $1024, DI
	SUBQ $16, CX
	JMP  tile

done:
	VZEROUPPER
	RET
