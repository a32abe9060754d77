//go:build !noasm

#include "textflag.h"
#include "lanes_amd64.h"
#include "exp_amd64.h"

// ONEPLUSEXPNEG replaces Y0 by 1+exp(-Y0).
#define ONEPLUSEXPNEG \
	VXORPS signBit<>(SB), Y0, Y0 \
	EXP                          \
	VADDPS one<>(SB), Y0, Y0

#define EXPROW(LD, ST, KEEP) \
	LD(SI, Y0) \
	EXP        \
	ST(Y0, DI)

// func expAVX2(dst, x *float32, n int)
TEXT ·expAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	LANES(EXPROW)
	VZEROUPPER
	RET

#define EXPSUB(LD, ST, KEEP) \
	LD(SI, Y0)        \
	VSUBPS Y8, Y0, Y0 \
	EXP               \
	ST(Y0, DI)        \
	KEEP(Y0)          \
	VADDPS Y0, Y9, Y9

// func expSubAVX2(dst, x *float32, n int, m float32) float32
TEXT ·expSubAVX2(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS m+24(FP), Y8
	VXORPS Y9, Y9, Y9
	LANES(EXPSUB)
	VMOVAPS Y9, Y0
	SUM8
	VMOVSS X0, ret+32(FP)
	VZEROUPPER
	RET

#define SIGMOID(LD, ST, KEEP) \
	LD(SI, Y0)            \
	ONEPLUSEXPNEG         \
	VMOVUPS one<>(SB), Y1 \
	VDIVPS Y0, Y1, Y0     \
	ST(Y0, DI)

// func sigmoidAVX2(dst, x *float32, n int)
TEXT ·sigmoidAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	LANES(SIGMOID)
	VZEROUPPER
	RET

#define SWIGLU(LD, ST, KEEP) \
	LD(SI, Y0)         \
	VMOVAPS Y0, Y4     \
	ONEPLUSEXPNEG      \
	VDIVPS Y0, Y4, Y0  \
	LD(R8, Y5)         \
	VMULPS Y5, Y0, Y0  \
	ST(Y0, DI)

// func swiGLUAVX2(dst, gate, up *float32, n int)
TEXT ·swiGLUAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ gate+8(FP), SI
	MOVQ up+16(FP), R8
	MOVQ n+24(FP), CX
	LANES(SWIGLU)
	VZEROUPPER
	RET

// Y0 holds the sigmoid, Y4 gate, Y5 up, Y6 dY·sigmoid, Y7 1 + gate·(1−sigmoid).
#define SWIGLUGRAD(LD, ST, KEEP) \
	LD(R10, Y0)                \
	LD(R11, Y5)                \
	LD(R9, Y6)                 \
	VMOVAPS Y0, Y4             \
	ONEPLUSEXPNEG              \
	VMOVUPS one<>(SB), Y7      \
	VDIVPS Y0, Y7, Y0          \
	VMULPS Y0, Y6, Y6          \
	VSUBPS Y0, Y7, Y0          \
	VFMADD231PS Y0, Y4, Y7     \
	VMULPS Y4, Y6, Y4          \
	ST(Y4, R8)                 \
	VMULPS Y5, Y6, Y6          \
	VMULPS Y7, Y6, Y6          \
	ST(Y6, DI)

// func swiGLUGradAVX2(dGate, dUp, dY, gate, up *float32, n int)
TEXT ·swiGLUGradAVX2(SB), NOSPLIT, $0-48
	MOVQ dGate+0(FP), DI
	MOVQ dUp+8(FP), R8
	MOVQ dY+16(FP), R9
	MOVQ gate+24(FP), R10
	MOVQ up+32(FP), R11
	MOVQ n+40(FP), CX
	LANES(SWIGLUGRAD)
	VZEROUPPER
	RET
