//go:build !noasm

#include "textflag.h"
#include "gemm_bf16_amd64.h"

// gemmTileDot keeps a tile of C in registers. For each pair of k it loads a row
// of both panels and broadcasts one pair of A per row of C. BX points into the
// first panel, and R15 is the distance to the second. K1 and K2 mask the
// columns of C.

#define LOAD(a, c, z0, z1, n0, n1) VMOVUPS.Z c, K1, z0; VMOVUPS.Z 64 c, K2, z1
#define NEXT(a, c, z0, z1, n0, n1) PREFETCHT0 c; PREFETCHT0 64 c
#define STORE(a, c, z0, z1, n0, n1) VMOVUPS z0, K1, c; VMOVUPS z1, K2, 64 c

// TILE computes the rows of C that ROWS describes. It prefetches the next two
// panels into the second-level cache, since their first use would otherwise
// wait for memory: if there is a single strip of rows, each panel is used once.
// On entry R14 is the number of rows. If C is read, as many rows of C below
// these are prefetched. In the loop, R14 is three times the distance between
// panels.
#define TILE(ROWS, zero, loop) \
	ROWS(ZERO) \
	CMPB resume+72(FP), $0 \
	JEQ  zero \
	ROWS(LOAD) \
	IMULQ R11, R14 \
	ADDQ R14, DI \
	ADDQ R14, R12 \
	ROWS(NEXT) \
	SUBQ R14, DI \
	SUBQ R14, R12 \
zero: \
	LEAQ (R15)(R15*2), R14 \
loop: \
	VMOVUPS (BX), Z28 \
	VMOVUPS (BX)(R15*1), Z29 \
	PREFETCHT1 (BX)(R15*2) \
	PREFETCHT1 (BX)(R14*1) \
	ROWS(PAIR) \
	ADDQ $4, SI \
	ADDQ $4, DX \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	ROWS(STORE) \
	VZEROUPPER \
	RET

// func gemmTileDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32,
//	ldc, columns int, resume bool)
TEXT ·gemmTileDot(SB), NOSPLIT, $0-73
	MOVQ columns+64(FP), AX
	MOVL $-1, CX
	BZHIL AX, CX, CX
	KMOVW CX, K1
	SHRL $16, CX
	KMOVW CX, K2
	MOVQ rows+0(FP), R14
	MOVQ pairs+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ ars+24(FP), R8
	SHLQ $1, R8
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (SI)(R9*2), DX
	ADDQ R8, DX
	MOVQ panel+32(FP), BX
	MOVQ panelStep+40(FP), R15
	SHLQ $1, R15
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R13
	LEAQ (R11)(R11*4), AX
	LEAQ (DI)(R13*2), R12
	ADDQ R11, R12
	TILES(TILE)

// gemvDot keeps up to four rows of four panels of C in registers: with few
// rows, the time goes into reading B, and four streams are read faster than
// two. BX points into the first panel; R12, R13 and R15 are one, two and three
// times the distance between panels.

#define LOAD4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VMOVUPS c, z0; VMOVUPS 64 c, z1; VMOVUPS 128 c, z2; VMOVUPS 192 c, z3
#define STORE4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VMOVUPS z0, c; VMOVUPS z1, 64 c; VMOVUPS z2, 128 c; VMOVUPS z3, 192 c

#define GEMV(ROWS, zero, loop) \
	TESTL R14, R14 \
	JEQ  zero \
	ROWS(LOAD4) \
	JMP  loop \
zero: \
	ROWS(ZERO4) \
loop: \
	VMOVUPS (BX), Z16 \
	VMOVUPS (BX)(R12*1), Z17 \
	VMOVUPS (BX)(R13*1), Z18 \
	VMOVUPS (BX)(R15*1), Z19 \
	ROWS(PAIR4) \
	ADDQ $4, SI \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	ROWS(STORE4) \
	VZEROUPPER \
	RET

// func gemvDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc int, resume bool)
TEXT ·gemvDot(SB), NOSPLIT, $0-65
	MOVQ rows+0(FP), AX
	MOVQ pairs+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ ars+24(FP), R8
	SHLQ $1, R8
	LEAQ (R8)(R8*2), R9
	MOVQ panel+32(FP), BX
	MOVQ panelStep+40(FP), R12
	SHLQ $1, R12
	LEAQ (R12)(R12*1), R13
	LEAQ (R12)(R12*2), R15
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R10
	MOVBLZX resume+64(FP), R14
	CMPQ AX, $2
	JEQ  rows2
	JGT  rows3to4
	GEMV(QUAD1, zero1, loop1)

rows2:
	GEMV(QUAD2, zero2, loop2)

rows3to4:
	CMPQ AX, $4
	JEQ  rows4
	GEMV(QUAD3, zero3, loop3)

rows4:
	GEMV(QUAD4, zero4, loop4)

// func dotLoop(n int)
TEXT ·dotLoop(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	VPXORD Z28, Z28, Z28
	VPXORD Z30, Z30, Z30
	ROWS8(ZERO)

loop:
	DOT(0, 30, 28); DOT(1, 30, 28); DOT(2, 30, 28); DOT(3, 30, 28)
	DOT(4, 30, 28); DOT(5, 30, 28); DOT(6, 30, 28); DOT(7, 30, 28)
	DOT(8, 30, 28); DOT(9, 30, 28); DOT(10, 30, 28); DOT(11, 30, 28)
	DOT(12, 30, 28); DOT(13, 30, 28); DOT(14, 30, 28); DOT(15, 30, 28)
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
