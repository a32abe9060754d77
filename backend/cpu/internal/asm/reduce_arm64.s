//go:build !noasm

#include "textflag.h"
#include "neon_arm64.h"
#include "lanes_arm64.h"

// The sums process blocks of 32 elements in the 32 lanes of V0 to V7. The rows
// are in R0, R1 and R2. Their last, partial blocks were copied to R3, R4 and R5
// and padded with zeros, so that the same instructions process them.

#define LOADX \
	VLD1.P 64(R0), [V16.S4, V17.S4, V18.S4, V19.S4] \
	VLD1.P 64(R0), [V20.S4, V21.S4, V22.S4, V23.S4]
#define LOADY(row) \
	VLD1.P 64(row), [V24.S4, V25.S4, V26.S4, V27.S4] \
	VLD1.P 64(row), [V28.S4, V29.S4, V30.S4, V31.S4]

// EIGHT runs OP(x, y, acc) over the registers of a block.
#define EIGHT(OP) \
	OP(16, 24, 0) \
	OP(17, 25, 1) \
	OP(18, 26, 2) \
	OP(19, 27, 3) \
	OP(20, 28, 4) \
	OP(21, 29, 5) \
	OP(22, 30, 6) \
	OP(23, 31, 7)

#define ADDX(x, y, acc) FADD4(x, acc, acc)
#define MULADDXX(x, y, acc) FMLA4(x, x, acc)
#define MULADDXY(x, y, acc) FMLA4(y, x, acc)
#define MULXBYY(x, y, acc) FMUL4(y, x, x)

#define SUM LOADX; EIGHT(ADDX)
#define SUMSQUARES LOADX; EIGHT(MULADDXX)
#define DOT2 LOADX; LOADY(R1); EIGHT(MULADDXY)
#define DOT3 LOADX; LOADY(R1); EIGHT(MULXBYY); LOADY(R2); EIGHT(MULADDXY)

// BLOCKS runs BLOCK over a row of R6 elements and adds the lanes to F0.
#define BLOCKS(BLOCK) \
	VEOR V0.B16, V0.B16, V0.B16 \
	VEOR V1.B16, V1.B16, V1.B16 \
	VEOR V2.B16, V2.B16, V2.B16 \
	VEOR V3.B16, V3.B16, V3.B16 \
	VEOR V4.B16, V4.B16, V4.B16 \
	VEOR V5.B16, V5.B16, V5.B16 \
	VEOR V6.B16, V6.B16, V6.B16 \
	VEOR V7.B16, V7.B16, V7.B16 \
	LSR  $5, R6, R7     \
	CBZ  R7, partial    \
block:                      \
	BLOCK               \
	SUBS $1, R7, R7     \
	BNE  block          \
partial:                    \
	TST  $31, R6        \
	BEQ  finish         \
	MOVD R3, R0         \
	MOVD R4, R1         \
	MOVD R5, R2         \
	MOVD $0, R6         \
	MOVD $1, R7         \
	JMP  block          \
finish:                     \
	FADD4(2, 0, 0)      \
	FADD4(3, 1, 1)      \
	FADD4(6, 4, 4)      \
	FADD4(7, 5, 5)      \
	FADD4(4, 0, 0)      \
	FADD4(5, 1, 1)      \
	SUM8

// func sumNEON(x, xTail *float32, n int) float32
TEXT ·sumNEON(SB), NOSPLIT, $0-28
	MOVD x+0(FP), R0
	MOVD xTail+8(FP), R3
	MOVD n+16(FP), R6
	BLOCKS(SUM)
	FMOVS F0, ret+24(FP)
	RET

// func sumSquaresNEON(x, xTail *float32, n int) float32
TEXT ·sumSquaresNEON(SB), NOSPLIT, $0-28
	MOVD x+0(FP), R0
	MOVD xTail+8(FP), R3
	MOVD n+16(FP), R6
	BLOCKS(SUMSQUARES)
	FMOVS F0, ret+24(FP)
	RET

// func dotNEON(x, y, xTail, yTail *float32, n int) float32
TEXT ·dotNEON(SB), NOSPLIT, $0-44
	MOVD x+0(FP), R0
	MOVD y+8(FP), R1
	MOVD xTail+16(FP), R3
	MOVD yTail+24(FP), R4
	MOVD n+32(FP), R6
	BLOCKS(DOT2)
	FMOVS F0, ret+40(FP)
	RET

// func dot3NEON(x, y, z, xTail, yTail, zTail *float32, n int) float32
TEXT ·dot3NEON(SB), NOSPLIT, $0-60
	MOVD x+0(FP), R0
	MOVD y+8(FP), R1
	MOVD z+16(FP), R2
	MOVD xTail+24(FP), R3
	MOVD yTail+32(FP), R4
	MOVD zTail+40(FP), R5
	MOVD n+48(FP), R6
	BLOCKS(DOT3)
	FMOVS F0, ret+56(FP)
	RET
