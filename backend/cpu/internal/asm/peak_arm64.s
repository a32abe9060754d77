//go:build !noasm

#include "textflag.h"

// The chains stay at zero: a multiply-add takes the same time for every finite
// value that is not denormal.

#define FMA4(a, b, c, d) \
	VFMLA V16.S4, V16.S4, a.S4 \
	VFMLA V16.S4, V16.S4, b.S4 \
	VFMLA V16.S4, V16.S4, c.S4 \
	VFMLA V16.S4, V16.S4, d.S4

#define ZERO4(a, b, c, d) \
	VEOR a.B16, a.B16, a.B16 \
	VEOR b.B16, b.B16, b.B16 \
	VEOR c.B16, c.B16, c.B16 \
	VEOR d.B16, d.B16, d.B16

// func fmaLoopNEON(n int)
TEXT ·fmaLoopNEON(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
	VEOR V16.B16, V16.B16, V16.B16
	ZERO4(V0, V1, V2, V3)
	ZERO4(V4, V5, V6, V7)
	ZERO4(V8, V9, V10, V11)
	ZERO4(V12, V13, V14, V15)

loop:
	FMA4(V0, V1, V2, V3)
	FMA4(V4, V5, V6, V7)
	FMA4(V8, V9, V10, V11)
	FMA4(V12, V13, V14, V15)
	SUBS $1, R0
	BNE  loop
	RET
