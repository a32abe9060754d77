//go:build !noasm

#include "textflag.h"
#include "neon_arm64.h"
#include "lanes_arm64.h"

// The constants of exp.go, in the order of V16 to V27.
DATA expConsts<>+0(SB)/4, $(89.0)
DATA expConsts<>+4(SB)/4, $(-104.0)
DATA expConsts<>+8(SB)/4, $(1.44269504088896341)
DATA expConsts<>+12(SB)/4, $(0.693359375)
DATA expConsts<>+16(SB)/4, $(-2.12194440e-4)
DATA expConsts<>+20(SB)/4, $(1.9875691500e-4)
DATA expConsts<>+24(SB)/4, $(1.3981999507e-3)
DATA expConsts<>+28(SB)/4, $(8.3334519073e-3)
DATA expConsts<>+32(SB)/4, $(4.1665795894e-2)
DATA expConsts<>+36(SB)/4, $(1.6666665459e-1)
DATA expConsts<>+40(SB)/4, $(5.0000001201e-1)
DATA expConsts<>+44(SB)/4, $(1.0)
GLOBL expConsts<>(SB), RODATA|NOPTR, $48

// EXPCONSTS loads V16 to V27: expMax, expMin, log2e, ln2Hi, ln2Lo, exp0 to exp5
// and 1. It clobbers R10.
#define EXPCONSTS \
	MOVD $expConsts<>(SB), R10                               \
	VLD4R.P 16(R10), [V16.S4, V17.S4, V18.S4, V19.S4]        \
	VLD4R.P 16(R10), [V20.S4, V21.S4, V22.S4, V23.S4]        \
	VLD4R   (R10), [V24.S4, V25.S4, V26.S4, V27.S4]

// EXP replaces V0 by its exponential, as exp32 does. It clobbers V1 to V3. FMIN
// and FMAX return NaN if either operand is NaN. The bits of 2ⁿ are those of 1
// with n added to the exponent.
#define EXP \
	FMIN4(16, 0, 0)                    \
	FMAX4(17, 0, 0)                    \
	FMUL4(18, 0, 1)                    \
	FRINTN4(1, 1)                      \
	VFMLS V19.S4, V1.S4, V0.S4         \
	VFMLS V20.S4, V1.S4, V0.S4         \
	VMOV  V22.B16, V2.B16              \
	VFMLA V21.S4, V0.S4, V2.S4         \
	VMOV  V23.B16, V3.B16              \
	VFMLA V2.S4, V0.S4, V3.S4          \
	VMOV  V24.B16, V2.B16              \
	VFMLA V3.S4, V0.S4, V2.S4          \
	VMOV  V25.B16, V3.B16              \
	VFMLA V2.S4, V0.S4, V3.S4          \
	VMOV  V26.B16, V2.B16              \
	VFMLA V3.S4, V0.S4, V2.S4          \
	FMUL4(0, 0, 3)                     \
	VFMLA V3.S4, V2.S4, V0.S4          \
	FADD4(27, 0, 0)                    \
	FCVTNS4(1, 1)                      \
	SSHR4(1, 3)                        \
	VSUB  V3.S4, V1.S4, V1.S4          \
	VSHL  $23, V1.S4, V1.S4            \
	VSHL  $23, V3.S4, V3.S4            \
	VADD  V27.S4, V1.S4, V1.S4         \
	VADD  V27.S4, V3.S4, V3.S4         \
	FMUL4(1, 0, 0)                     \
	FMUL4(3, 0, 0)

// ONEPLUSEXPNEG replaces V0 by 1+exp(-V0).
#define ONEPLUSEXPNEG \
	FNEG4(0, 0) \
	EXP         \
	FADD4(27, 0, 0)

#define EXPROW(LD, ST, KEEP) \
	LD(R1, V0) \
	EXP        \
	ST(V0, R0)

// func expNEON(dst, x *float32, n int)
TEXT ·expNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD n+16(FP), R5
	EXPCONSTS
	LANES(EXPROW)
	RET

// V5 and V6 hold the sums of eight lanes and are exchanged in each step. Which
// of them ends up with the first four lanes makes no difference: V5 and V6 are
// added last.
#define EXPSUB(LD, ST, KEEP) \
	LD(R1, V0)             \
	FSUB4(4, 0, 0)         \
	EXP                    \
	ST(V0, R0)             \
	KEEP(V0)               \
	FADD4(0, 5, 7)         \
	VMOV V6.B16, V5.B16    \
	VMOV V7.B16, V6.B16

// func expSubNEON(dst, x *float32, n int, m float32) float32
TEXT ·expSubNEON(SB), NOSPLIT, $0-36
	MOVD  dst+0(FP), R0
	MOVD  x+8(FP), R1
	MOVD  n+16(FP), R5
	FMOVS m+24(FP), F4
	VDUP  V4.S[0], V4.S4
	VEOR  V5.B16, V5.B16, V5.B16
	VEOR  V6.B16, V6.B16, V6.B16
	EXPCONSTS
	LANES(EXPSUB)
	VMOV  V5.B16, V0.B16
	VMOV  V6.B16, V1.B16
	SUM8
	FMOVS F0, ret+32(FP)
	RET

#define SIGMOID(LD, ST, KEEP) \
	LD(R1, V0)      \
	ONEPLUSEXPNEG   \
	FDIV4(0, 27, 0) \
	ST(V0, R0)

// func sigmoidNEON(dst, x *float32, n int)
TEXT ·sigmoidNEON(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD n+16(FP), R5
	EXPCONSTS
	LANES(SIGMOID)
	RET

#define SWIGLU(LD, ST, KEEP) \
	LD(R1, V0)          \
	VMOV V0.B16, V4.B16 \
	ONEPLUSEXPNEG       \
	FDIV4(0, 4, 0)      \
	LD(R2, V5)          \
	FMUL4(5, 0, 0)      \
	ST(V0, R0)

// func swiGLUNEON(dst, gate, up *float32, n int)
TEXT ·swiGLUNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD gate+8(FP), R1
	MOVD up+16(FP), R2
	MOVD n+24(FP), R5
	EXPCONSTS
	LANES(SWIGLU)
	RET

// V0 holds the sigmoid, V4 gate, V5 up, V6 dY·sigmoid, V7 1 + gate·(1−sigmoid).
#define SWIGLUGRAD(LD, ST, KEEP) \
	LD(R3, V0)                 \
	LD(R4, V5)                 \
	LD(R2, V6)                 \
	VMOV  V0.B16, V4.B16       \
	ONEPLUSEXPNEG              \
	FDIV4(0, 27, 0)            \
	FMUL4(0, 6, 6)             \
	FSUB4(0, 27, 0)            \
	VMOV  V27.B16, V7.B16      \
	VFMLA V0.S4, V4.S4, V7.S4  \
	FMUL4(4, 6, 4)             \
	ST(V4, R1)                 \
	FMUL4(5, 6, 6)             \
	FMUL4(7, 6, 6)             \
	ST(V6, R0)

// func swiGLUGradNEON(dGate, dUp, dY, gate, up *float32, n int)
TEXT ·swiGLUGradNEON(SB), NOSPLIT, $0-48
	MOVD dGate+0(FP), R0
	MOVD dUp+8(FP), R1
	MOVD dY+16(FP), R2
	MOVD gate+24(FP), R3
	MOVD up+32(FP), R4
	MOVD n+40(FP), R5
	EXPCONSTS
	LANES(SWIGLUGRAD)
	RET
