//go:build !noasm

#include "textflag.h"
#include "neon_arm64.h"

// The inner kernel keeps up to 6 rows × 16 columns of C in V0 to V23. For each
// k it loads 16 columns of the panel into V24 to V27 and multiplies them by one
// element of A per row. ROWSn(OP) applies
//
//	OP(element of A, number of the row's first register, its four registers)
//
// to n rows. R12 points into the first row of A, R2 to R6 are 1 to 5 times A's
// row stride and R7 its column stride; R13 points to the rows of C, R10 apart;
// all in bytes.

#define ROWS1(OP) OP((R12), 0, V0, V1, V2, V3)
#define ROWS2(OP) ROWS1(OP); OP((R12)(R2), 4, V4, V5, V6, V7)
#define ROWS3(OP) ROWS2(OP); OP((R12)(R3), 8, V8, V9, V10, V11)
#define ROWS4(OP) ROWS3(OP); OP((R12)(R4), 12, V12, V13, V14, V15)
#define ROWS5(OP) ROWS4(OP); OP((R12)(R5), 16, V16, V17, V18, V19)
#define ROWS6(OP) ROWS5(OP); OP((R12)(R6), 20, V20, V21, V22, V23)

#define ZERO(a, n, v0, v1, v2, v3) \
	VEOR v0.B16, v0.B16, v0.B16 \
	VEOR v1.B16, v1.B16, v1.B16 \
	VEOR v2.B16, v2.B16, v2.B16 \
	VEOR v3.B16, v3.B16, v3.B16
#define LOAD(a, n, v0, v1, v2, v3) VLD1.P (R13)(R10), [v0.S4, v1.S4, v2.S4, v3.S4]
#define STORE(a, n, v0, v1, v2, v3) VST1.P [v0.S4, v1.S4, v2.S4, v3.S4], (R13)(R10)
#define FMA(a, n, v0, v1, v2, v3) \
	FMOVS a, F28          \
	FMLAE4(28, 24, n)     \
	FMLAE4(28, 25, (n)+1) \
	FMLAE4(28, 26, (n)+2) \
	FMLAE4(28, 27, (n)+3)

// STRIP computes the rows of C that ROWS describes and leaves R9 at the row
// after them.
#define STRIP(ROWS, loop) \
	ROWS(ZERO)                   \
	CBZ   R14, loop              \
	ROWS(LOAD)                   \
	MOVD  R9, R13                \
loop:                                \
	FLDPQ 32(R8), (F26, F27)     \
	FLDPQ.P 64(R8), (F24, F25)   \
	ROWS(FMA)                    \
	ADD   R7, R12                \
	SUBS  $1, R11, R11           \
	BNE   loop                   \
	ROWS(STORE)                  \
	MOVD  R13, R9

// Seven or eight remaining rows are computed as 4+3 or 4+4: fewer than four
// rows cannot hide the latency of a multiply-add.

// func gemmPanelNEON(m, k int, a *float32, ars, acs int, panel, c *float32, ldc int, resume bool)
TEXT ·gemmPanelNEON(SB), NOSPLIT, $0-65
	MOVD  m+0(FP), R0
	MOVD  a+16(FP), R1
	MOVD  ars+24(FP), R2
	LSL   $2, R2
	ADD   R2, R2, R3
	ADD   R2, R3, R4
	ADD   R2, R4, R5
	ADD   R2, R5, R6
	MOVD  acs+32(FP), R7
	LSL   $2, R7
	MOVD  c+48(FP), R9
	MOVD  ldc+56(FP), R10
	LSL   $2, R10
	MOVBU resume+64(FP), R14

strip:
	MOVD k+8(FP), R11
	MOVD panel+40(FP), R8
	MOVD R1, R12
	MOVD R9, R13
	CMP  $6, R0
	BLT  short
	BEQ  rows6
	CMP  $9, R0
	BLT  rows4

rows6:
	STRIP(ROWS6, loop6)
	ADD  R2, R6, R12
	ADD  R12, R1
	SUBS $6, R0, R0
	BNE  strip
	RET

short:
	CMP $4, R0
	BGT rows5
	BEQ rows4
	CMP $2, R0
	BGT rows3
	BEQ rows2
	STRIP(ROWS1, loop1)
	RET

rows2:
	STRIP(ROWS2, loop2)
	RET

rows3:
	STRIP(ROWS3, loop3)
	RET

rows4:
	STRIP(ROWS4, loop4)
	ADD  R5, R1
	SUBS $4, R0, R0
	BNE  strip
	RET

rows5:
	STRIP(ROWS5, loop5)
	RET

// PANEL multiplies one element of A, in V28, by one row of the panel at p.
#define PANEL(p, n) \
	FLDPQ 32(p), (F26, F27)     \
	FLDPQ.P 64(p), (F24, F25)   \
	FMLAE4(28, 24, n)           \
	FMLAE4(28, 25, (n)+1)       \
	FMLAE4(28, 26, (n)+2)       \
	FMLAE4(28, 27, (n)+3)

// func gemmRowNEON(k int, a *float32, acs int, panel *float32, panelStep int, c *float32, resume bool)
TEXT ·gemmRowNEON(SB), NOSPLIT, $0-49
	MOVD  k+0(FP), R0
	MOVD  a+8(FP), R1
	MOVD  acs+16(FP), R2
	LSL   $2, R2
	MOVD  panel+24(FP), R3
	MOVD  panelStep+32(FP), R7
	ADD   R7<<2, R3, R4
	ADD   R7<<2, R4, R5
	ADD   R7<<2, R5, R6
	MOVD  c+40(FP), R13
	MOVD  $64, R10
	MOVBU resume+48(FP), R14
	ROWS4(ZERO)
	CBZ   R14, loop
	ROWS4(LOAD)
	MOVD  c+40(FP), R13

loop:
	FMOVS (R1), F28
	PANEL(R3, 0)
	PANEL(R4, 4)
	PANEL(R5, 8)
	PANEL(R6, 12)
	ADD   R2, R1
	SUBS  $1, R0, R0
	BNE   loop
	ROWS4(STORE)
	RET

// func packRowsNEON(dst, b *float32, k, rs int)
TEXT ·packRowsNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD b+8(FP), R1
	MOVD k+16(FP), R2
	MOVD rs+24(FP), R3
	LSL  $2, R3

rows:
	VLD1.P (R1)(R3), [V0.S4, V1.S4, V2.S4, V3.S4]
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	SUBS   $1, R2, R2
	BNE    rows
	RET

// TRANSPOSE4x4 loads four k of the next four columns and leaves one k in each
// of r0 to r3. R4 points to the columns, R3 apart.
#define TRANSPOSE4x4(r0, r1, r2, r3) \
	VLD1.P (R4)(R3), [V0.S4]       \
	VLD1.P (R4)(R3), [V1.S4]       \
	VLD1.P (R4)(R3), [V2.S4]       \
	VLD1.P (R4)(R3), [V3.S4]       \
	VTRN1 V1.S4, V0.S4, V4.S4      \
	VTRN2 V1.S4, V0.S4, V5.S4      \
	VTRN1 V3.S4, V2.S4, V6.S4      \
	VTRN2 V3.S4, V2.S4, V7.S4      \
	VTRN1 V6.D2, V4.D2, r0.D2      \
	VTRN1 V7.D2, V5.D2, r1.D2      \
	VTRN2 V6.D2, V4.D2, r2.D2      \
	VTRN2 V7.D2, V5.D2, r3.D2

// func packTransposedNEON(dst, b *float32, k, cs int)
TEXT ·packTransposedNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD b+8(FP), R1
	MOVD k+16(FP), R2
	MOVD cs+24(FP), R3
	LSL  $2, R3

quads:
	MOVD R1, R4
	TRANSPOSE4x4(V16, V20, V24, V28)
	TRANSPOSE4x4(V17, V21, V25, V29)
	TRANSPOSE4x4(V18, V22, V26, V30)
	TRANSPOSE4x4(V19, V23, V27, V31)
	VST1.P [V16.S4, V17.S4, V18.S4, V19.S4], 64(R0)
	VST1.P [V20.S4, V21.S4, V22.S4, V23.S4], 64(R0)
	VST1.P [V24.S4, V25.S4, V26.S4, V27.S4], 64(R0)
	VST1.P [V28.S4, V29.S4, V30.S4, V31.S4], 64(R0)
	ADD    $16, R1
	SUBS   $4, R2, R2
	BNE    quads
	RET
