//go:build !noasm

#include "textflag.h"
#include "convert_avx512_amd64.h"
#include "transpose_avx512_amd64.h"

// WORDS defines eight word indices of the index vector of a permutation.
#define WORDS(name, off, low, high) \
	DATA name<>+off(SB)/8, low \
	DATA name<>+(off+8)(SB)/8, high

// lowPairs selects pairs from the lower sixteen words of two vectors, highPairs
// from the upper sixteen, and halfPairs from the two halves of one vector.
WORDS(lowPairs, 0, $0x0021000100200000, $0x0023000300220002)
WORDS(lowPairs, 16, $0x0025000500240004, $0x0027000700260006)
WORDS(lowPairs, 32, $0x0029000900280008, $0x002b000b002a000a)
WORDS(lowPairs, 48, $0x002d000d002c000c, $0x002f000f002e000e)
GLOBL lowPairs<>(SB), RODATA|NOPTR, $64
WORDS(highPairs, 0, $0x0031001100300010, $0x0033001300320012)
WORDS(highPairs, 16, $0x0035001500340014, $0x0037001700360016)
WORDS(highPairs, 32, $0x0039001900380018, $0x003b001b003a001a)
WORDS(highPairs, 48, $0x003d001d003c001c, $0x003f001f003e001e)
GLOBL highPairs<>(SB), RODATA|NOPTR, $64
WORDS(halfPairs, 0, $0x0011000100100000, $0x0013000300120002)
WORDS(halfPairs, 16, $0x0015000500140004, $0x0017000700160006)
WORDS(halfPairs, 32, $0x0019000900180008, $0x001b000b001a000a)
WORDS(halfPairs, 48, $0x001d000d001c000c, $0x001f000f001e000e)
GLOBL halfPairs<>(SB), RODATA|NOPTR, $64

// AHEAD sets R13 and R15 to the distances from a row to those n and n+1 later,
// which are prefetched, since rows that lie far apart are slow to load from
// memory.
#define AHEAD(n) IMUL3Q $n, R8, R13; LEAQ (R13)(R8*1), R15

// ODDWORDS sets K1 to the mask of the upper halves of dwords; it clobbers AX.
#define ODDWORDS MOVL $0xAAAAAAAA, AX; KMOVD AX, K1

// ROUNDPAIRS sets z to the rounded pairs of the sixteen floats at a and the
// sixteen at b. It clobbers Z20 to Z22.
#define ROUNDPAIRS(a, b, z) \
	VMOVUPS a, Z20       \
	VMOVUPS b, Z21       \
	ROUND512(Z20, z)     \
	ROUND512(Z21, Z22)   \
	VPSRLD $16, z, z     \
	VMOVDQU16 Z22, K1, z

// func packRowPairsAVX512(dst *uint16, b *float32, k, rs, panels, step int)
TEXT ·packRowPairsAVX512(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ rs+24(FP), R8
	MOVQ panels+32(FP), R9
	MOVQ step+40(FP), R10
	SHLQ $2, R8
	SHLQ $1, R10
	AHEAD(16)
	ROUNDING512
	ODDWORDS

rows:
	MOVQ SI, R11
	MOVQ DI, R12
	MOVQ R9, BX

panels:
	PREFETCHT0 (R11)(R13*1)
	PREFETCHT0 (R11)(R15*1)
	ROUNDPAIRS((R11), (R11)(R8*1), Z0)
	VMOVDQU64 Z0, (R12)
	ADDQ $64, R11
	ADDQ R10, R12
	DECQ BX
	JNZ  panels
	LEAQ (SI)(R8*2), SI
	ADDQ $64, DI
	SUBQ $2, CX
	JNZ  rows
	VZEROUPPER
	RET

// func packRowPairsBitsAVX512(dst, b *uint16, k, rs, pairs, step int)
TEXT ·packRowPairsBitsAVX512(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ rs+24(FP), R8
	MOVQ pairs+32(FP), R9
	MOVQ step+40(FP), R10
	SHLQ $1, R8
	SHLQ $1, R10
	VMOVDQU64 lowPairs<>(SB), Z4
	VMOVDQU64 highPairs<>(SB), Z5

rows:
	MOVQ SI, R11
	MOVQ DI, R12
	MOVQ R9, BX

panels:
	VMOVDQU64 (R11), Z0
	VMOVDQU64 (R11)(R8*1), Z1
	VMOVDQA64 Z0, Z2
	VPERMT2W Z1, Z4, Z2
	VPERMT2W Z1, Z5, Z0
	VMOVDQU64 Z2, (R12)
	VMOVDQU64 Z0, (R12)(R10*1)
	ADDQ $64, R11
	LEAQ (R12)(R10*2), R12
	DECQ BX
	JNZ  panels
	LEAQ (SI)(R8*2), SI
	ADDQ $64, DI
	SUBQ $2, CX
	JNZ  rows
	VZEROUPPER
	RET

// COLUMN sets z to 32 elements of the column at a.
#define COLUMN(a, z) \
	VMOVUPS (a), Z20      \
	VMOVUPS 64(a), Z21    \
	ROUND512(Z20, z)      \
	ROUND512(Z21, Z22)    \
	VPERMT2W Z22, Z27, z

// FOURCOLUMNS is COLUMN for four columns, starting at a, R8 apart; R9 is three
// times R8. It clobbers a, R13 and BX.
#define FOURCOLUMNS(a, z0, z1, z2, z3) \
	COLUMN(a, z0)        \
	LEAQ (a)(R8*2), R13  \
	LEAQ (a)(R9*1), BX   \
	ADDQ R8, a           \
	COLUMN(a, z1)        \
	COLUMN(R13, z2)      \
	COLUMN(BX, z3)

// func packColumnPairsAVX512(dst *uint16, b *float32, steps, cs int)
TEXT ·packColumnPairsAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ steps+16(FP), CX
	MOVQ cs+24(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	ROUNDING512
	VMOVDQU64 upperHalves<>(SB), Z27

steps:
	LEAQ (SI)(R8*4), R10
	LEAQ (SI)(R8*8), R11
	LEAQ (R10)(R8*8), R12
	MOVQ SI, AX
	FOURCOLUMNS(AX, Z0, Z1, Z2, Z3)
	FOURCOLUMNS(R10, Z4, Z5, Z6, Z7)
	FOURCOLUMNS(R11, Z8, Z9, Z10, Z11)
	FOURCOLUMNS(R12, Z12, Z13, Z14, Z15)
	TRANSPOSE512
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, 64(DI)
	VMOVDQU64 Z2, 128(DI)
	VMOVDQU64 Z3, 192(DI)
	VMOVDQU64 Z4, 256(DI)
	VMOVDQU64 Z5, 320(DI)
	VMOVDQU64 Z6, 384(DI)
	VMOVDQU64 Z7, 448(DI)
	VMOVDQU64 Z8, 512(DI)
	VMOVDQU64 Z9, 576(DI)
	VMOVDQU64 Z10, 640(DI)
	VMOVDQU64 Z11, 704(DI)
	VMOVDQU64 Z12, 768(DI)
	VMOVDQU64 Z13, 832(DI)
	VMOVDQU64 Z14, 896(DI)
	VMOVDQU64 Z15, 960(DI)
	ADDQ $128, SI
	ADDQ $1024, DI
	DECQ CX
	JNZ  steps
	VZEROUPPER
	RET

// PAIRSAT sets z to the pairs of sixteen elements of the row at R11 and of the
// next row, and advances R11 by two rows.
#define PAIRSAT(z) \
	PREFETCHT0 (R11)(R13*1) \
	PREFETCHT0 (R11)(R15*1) \
	ROUNDPAIRS((R11), (R11)(R8*1), z) \
	LEAQ (R11)(R8*2), R11

#define PAIRSATBITS(z) \
	PREFETCHT0 (R11)(R13*1) \
	PREFETCHT0 (R11)(R15*1) \
	VMOVDQU64 (R11), Y20 \
	VINSERTI64X4 $1, (R11)(R8*1), Z20, Z20 \
	VPERMW Z20, Z27, z \
	LEAQ (R11)(R8*2), R11

#define SIXTEEN(ROWS) \
	ROWS(Z0) \
	ROWS(Z1) \
	ROWS(Z2) \
	ROWS(Z3) \
	ROWS(Z4) \
	ROWS(Z5) \
	ROWS(Z6) \
	ROWS(Z7) \
	ROWS(Z8) \
	ROWS(Z9) \
	ROWS(Z10) \
	ROWS(Z11) \
	ROWS(Z12) \
	ROWS(Z13) \
	ROWS(Z14) \
	ROWS(Z15)

// ROWOUT stores z and advances by one row. It prefetches the row's next cache
// line with PREFETCHW 64(DI), which the assembler lacks.
#define ROWOUT(z) \
	VMOVDQU64 z, (DI) \
	BYTE $0x0F; BYTE $0x0D; BYTE $0x4F; BYTE $0x40 \
	ADDQ R10, DI

// ROWSOFCOLUMNS processes 32 k of sixteen rows at a time. width is the size of
// sixteen elements in bytes.
#define ROWSOFCOLUMNS(ROWS, width) \
groups: \
	MOVQ SI, R11  \
	SIXTEEN(ROWS) \
	TRANSPOSE512  \
	SIXTEEN(ROWOUT) \
	ADDQ $width, SI \
	DECQ CX     \
	JNZ  groups \
	VZEROUPPER  \
	RET

// func rowsOfColumnsAVX512(dst *uint16, stride int, a *float32, acs, groups int)
TEXT ·rowsOfColumnsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ stride+8(FP), R10
	MOVQ a+16(FP), SI
	MOVQ acs+24(FP), R8
	MOVQ groups+32(FP), CX
	SHLQ $1, R10
	SHLQ $2, R8
	AHEAD(32)
	ROUNDING512
	ODDWORDS
	ROWSOFCOLUMNS(PAIRSAT, 64)

// func rowsOfColumnsBitsAVX512(dst *uint16, stride int, a *uint16, acs, groups int)
TEXT ·rowsOfColumnsBitsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ stride+8(FP), R10
	MOVQ a+16(FP), SI
	MOVQ acs+24(FP), R8
	MOVQ groups+32(FP), CX
	SHLQ $1, R10
	SHLQ $1, R8
	AHEAD(32)
	VMOVDQU64 halfPairs<>(SB), Z27
	ROWSOFCOLUMNS(PAIRSATBITS, 32)
