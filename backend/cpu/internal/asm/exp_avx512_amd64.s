//go:build !noasm

#include "textflag.h"
#include "lanes_avx512_amd64.h"
#include "exp_amd64.h"
#include "convert_avx512_amd64.h"

// The kernels of exp_amd64.s for sixteen elements at a time, which give the same
// bits, and SwiGLU in BF16.

// ONEPLUSEXPNEG replaces Z0 by 1+exp(-Z0); Z22 is the sign bit.
#define ONEPLUSEXPNEG \
	VXORPS Z22, Z0, Z0 \
	EXP512             \
	VADDPS Z21, Z0, Z0

#define SWIGLU(LD, ST) \
	LD(SI, Z0)         \
	VMOVAPS Z0, Z4     \
	ONEPLUSEXPNEG      \
	VDIVPS Z0, Z4, Z0  \
	LD(R8, Z5)         \
	VMULPS Z5, Z0, Z0  \
	ST(Z0, DI)

// SWIGLUARGS loads the arguments of the kernels of SwiGLU and their constants.
#define SWIGLUARGS \
	MOVQ dst+0(FP), DI \
	MOVQ gate+8(FP), SI \
	MOVQ up+16(FP), R8 \
	MOVQ n+24(FP), CX \
	CONSTANTS512 \
	VBROADCASTSS signBit<>(SB), Z22

// SWIGLUGRADARGS is SWIGLUARGS for the gradient.
#define SWIGLUGRADARGS \
	MOVQ dGate+0(FP), DI \
	MOVQ dUp+8(FP), R8 \
	MOVQ dY+16(FP), R9 \
	MOVQ gate+24(FP), R10 \
	MOVQ up+32(FP), R11 \
	MOVQ n+40(FP), CX \
	CONSTANTS512 \
	VBROADCASTSS signBit<>(SB), Z22

// func swiGLUAVX512(dst, gate, up *float32, n int)
TEXT ·swiGLUAVX512(SB), NOSPLIT, $0-32
	SWIGLUARGS
	LANES512(SWIGLU)
	VZEROUPPER
	RET

// func swiGLUBF16AVX512(dst, gate, up *uint16, n int)
TEXT ·swiGLUBF16AVX512(SB), NOSPLIT, $0-32
	SWIGLUARGS
	ROUNDING512
	LANES512BF16(SWIGLU)
	VZEROUPPER
	RET

// Z0 holds the sigmoid, Z4 gate, Z5 up, Z6 dY·sigmoid, Z7 1 + gate·(1−sigmoid).
#define SWIGLUGRAD(LD, ST) \
	LD(R10, Z0)                \
	LD(R11, Z5)                \
	LD(R9, Z6)                 \
	VMOVAPS Z0, Z4             \
	ONEPLUSEXPNEG              \
	VDIVPS Z0, Z21, Z0         \
	VMULPS Z0, Z6, Z6          \
	VSUBPS Z0, Z21, Z0         \
	VMOVAPS Z21, Z7            \
	VFMADD231PS Z0, Z4, Z7     \
	VMULPS Z4, Z6, Z4          \
	ST(Z4, R8)                 \
	VMULPS Z5, Z6, Z6          \
	VMULPS Z7, Z6, Z6          \
	ST(Z6, DI)

// func swiGLUGradAVX512(dGate, dUp, dY, gate, up *float32, n int)
TEXT ·swiGLUGradAVX512(SB), NOSPLIT, $0-48
	SWIGLUGRADARGS
	LANES512(SWIGLUGRAD)
	VZEROUPPER
	RET

// func swiGLUGradBF16AVX512(dGate, dUp, dY, gate, up *uint16, n int)
TEXT ·swiGLUGradBF16AVX512(SB), NOSPLIT, $0-48
	SWIGLUGRADARGS
	ROUNDING512
	LANES512BF16(SWIGLUGRAD)
	VZEROUPPER
	RET
