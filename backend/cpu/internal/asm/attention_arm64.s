//go:build !noasm

#include "textflag.h"
#include "neon_arm64.h"
#include "lanes_arm64.h"

// WeightedSum keeps a slice of o in registers while it goes through the rows of
// v. Wider slices hide the latency of the multiply-adds better. SLICEn(OP)
// lists the slice in groups of 16, as OP(number of the first register, the four
// registers).
#define SLICE16(OP) OP(0, V0, V1, V2, V3)
#define SLICE64(OP) SLICE16(OP) OP(4, V4, V5, V6, V7) OP(8, V8, V9, V10, V11) OP(12, V12, V13, V14, V15)
#define LOADO(n, v0, v1, v2, v3) VLD1.P 64(R8), [v0.S4, v1.S4, v2.S4, v3.S4];
#define STOREO(n, v0, v1, v2, v3) VST1.P [v0.S4, v1.S4, v2.S4, v3.S4], 64(R0);
#define FMAV(n, v0, v1, v2, v3) \
	FLDPQ 32(R8), (F18, F19)     \
	FLDPQ.P 64(R8), (F16, F17)   \
	FMLAE4(20, 16, n)            \
	FMLAE4(20, 17, (n)+1)        \
	FMLAE4(20, 18, (n)+2)        \
	FMLAE4(20, 19, (n)+3);

// SUMSLICE computes width channels at a time while at least that many remain.
// R0 points into o, R2 into the first row of v, R6 into the current row and R7
// into p.
#define SUMSLICE(SLICE, width, slice, rows, next) \
slice:                                \
	CMP  $width, R5               \
	BLT  next                     \
	MOVD R0, R8                   \
	SLICE(LOADO)                  \
	MOVD R2, R6                   \
	MOVD R1, R7                   \
	MOVD R4, R13                  \
rows:                                 \
	FMOVS.P 4(R7), F20            \
	MOVD R6, R8                   \
	SLICE(FMAV)                   \
	ADD  R3, R6                   \
	SUBS $1, R13, R13             \
	BNE  rows                     \
	SLICE(STOREO)                 \
	ADD  $(width*4), R2           \
	SUB  $width, R5               \
	JMP  slice

// func weightedSumNEON(o, p, v *float32, stride, n, d int)
TEXT ·weightedSumNEON(SB), NOSPLIT, $0-48
	MOVD o+0(FP), R0
	MOVD p+8(FP), R1
	MOVD v+16(FP), R2
	MOVD stride+24(FP), R3
	LSL  $2, R3
	MOVD n+32(FP), R4
	MOVD d+40(FP), R5
	SUMSLICE(SLICE64, 64, slice64, rows64, slice16)
	SUMSLICE(SLICE16, 16, slice16, rows16, slice4)

slice4:
	CMP  $4, R5
	BLT  part
	VLD1 (R0), [V0.S4]
	MOVD R2, R6
	MOVD R1, R7
	MOVD R4, R13

rows4:
	FMOVS.P 4(R7), F20
	VLD1.P  (R6)(R3), [V16.S4]
	FMLAE4(20, 16, 0)
	SUBS    $1, R13, R13
	BNE     rows4
	VST1.P  [V0.S4], 16(R0)
	ADD     $16, R2
	SUB     $4, R5
	JMP     slice4

part:
	CBZ  R5, done
	MOVD $0, R9
	PARTIAL(R5)
	LDPART(R0, V0)

rows:
	FMOVS.P 4(R1), F20
	LDPART(R2, V16)
	FMLAE4(20, 16, 0)
	ADD     R3, R2
	SUBS    $1, R4, R4
	BNE     rows
	STPART(V0, R0)

done:
	RET
