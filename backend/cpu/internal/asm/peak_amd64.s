//go:build !noasm

#include "textflag.h"

// The chains stay at zero: a multiply-add takes the same time for every finite
// value that is not denormal.

#define FMA4(a, b, c, d) VFMADD231PS a, a, a; VFMADD231PS b, b, b; VFMADD231PS c, c, c; VFMADD231PS d, d, d
#define ZERO4(a, b, c, d) VXORPS a, a, a; VXORPS b, b, b; VXORPS c, c, c; VXORPS d, d, d

// func fmaLoopAVX2(n int)
TEXT ·fmaLoopAVX2(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	ZERO4(Y0, Y1, Y2, Y3)
	ZERO4(Y4, Y5, Y6, Y7)
	ZERO4(Y8, Y9, Y10, Y11)

loop:
	FMA4(Y0, Y1, Y2, Y3)
	FMA4(Y4, Y5, Y6, Y7)
	FMA4(Y8, Y9, Y10, Y11)
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func fmaLoopAVX512(n int)
TEXT ·fmaLoopAVX512(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	ZERO4(Z0, Z1, Z2, Z3)
	ZERO4(Z4, Z5, Z6, Z7)
	ZERO4(Z8, Z9, Z10, Z11)
	ZERO4(Z12, Z13, Z14, Z15)

loop:
	FMA4(Z0, Z1, Z2, Z3)
	FMA4(Z4, Z5, Z6, Z7)
	FMA4(Z8, Z9, Z10, Z11)
	FMA4(Z12, Z13, Z14, Z15)
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
