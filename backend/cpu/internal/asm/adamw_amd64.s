//go:build !noasm

#include "go_asm.h"
#include "textflag.h"
#include "lanes_amd64.h"

// w in DI, g in SI, m in R8, v in R9. Y5 to Y14 hold the fields of adamWCoeffs:
// gradScale, beta1, gain1, beta2, gain2, correct1, correct2, eps, lr, decay.
#define ADAMW(LD, ST, KEEP) \
	LD(SI, Y0)                \
	VMULPS Y5, Y0, Y0         \
	LD(R8, Y1)                \
	VMULPS Y6, Y1, Y1         \
	VFMADD231PS Y0, Y7, Y1    \
	ST(Y1, R8)                \
	LD(R9, Y2)                \
	VMULPS Y8, Y2, Y2         \
	VMULPS Y0, Y0, Y0         \
	VFMADD231PS Y0, Y9, Y2    \
	ST(Y2, R9)                \
	VMULPS Y11, Y2, Y2        \
	VSQRTPS Y2, Y2            \
	VADDPS Y12, Y2, Y2        \
	VMULPS Y10, Y1, Y1        \
	VDIVPS Y2, Y1, Y1         \
	LD(DI, Y3)                \
	VFMADD231PS Y3, Y14, Y1   \
	VFNMADD231PS Y1, Y13, Y3  \
	ST(Y3, DI)

// func adamWAVX2(w, grad, m, v *float32, n int, c *adamWCoeffs)
TEXT ·adamWAVX2(SB), NOSPLIT, $0-48
	MOVQ w+0(FP), DI
	MOVQ grad+8(FP), SI
	MOVQ m+16(FP), R8
	MOVQ v+24(FP), R9
	MOVQ n+32(FP), CX
	MOVQ c+40(FP), R10
	VBROADCASTSS adamWCoeffs_gradScale(R10), Y5
	VBROADCASTSS adamWCoeffs_beta1(R10), Y6
	VBROADCASTSS adamWCoeffs_gain1(R10), Y7
	VBROADCASTSS adamWCoeffs_beta2(R10), Y8
	VBROADCASTSS adamWCoeffs_gain2(R10), Y9
	VBROADCASTSS adamWCoeffs_correct1(R10), Y10
	VBROADCASTSS adamWCoeffs_correct2(R10), Y11
	VBROADCASTSS adamWCoeffs_eps(R10), Y12
	VBROADCASTSS adamWCoeffs_lr(R10), Y13
	VBROADCASTSS adamWCoeffs_decay(R10), Y14
	LANES(ADAMW)
	VZEROUPPER
	RET
