//go:build !noasm

#include "textflag.h"
#include "lanes_amd64.h"

// EIGHT defines eight copies of a 32-bit constant, given twice in 64 bits.
#define EIGHT(name, bits) \
	DATA name<>+0(SB)/8, bits  \
	DATA name<>+8(SB)/8, bits  \
	DATA name<>+16(SB)/8, bits \
	DATA name<>+24(SB)/8, bits \
	GLOBL name<>(SB), RODATA|NOPTR, $32

// The constants of exp.go.
EIGHT(expMax, $0x42b2000042b20000) // 89.0
EIGHT(expMin, $0xc2d00000c2d00000) // -104.0
EIGHT(log2e, $0x3fb8aa3b3fb8aa3b) // 1.4426950408889634
EIGHT(ln2Hi, $0x3f3180003f318000) // 0.693359375
EIGHT(ln2Lo, $0xb95e8083b95e8083) // -0.00021219444
EIGHT(exp0, $0x3950696739506967) // 0.000198756915
EIGHT(exp1, $0x3ab743ce3ab743ce) // 0.0013981999507
EIGHT(exp2, $0x3c0889083c088908) // 0.0083334519073
EIGHT(exp3, $0x3d2aa9c13d2aa9c1) // 0.041665795894
EIGHT(exp4, $0x3e2aaaaa3e2aaaaa) // 0.16666665459
EIGHT(exp5, $0x3f0000003f000000) // 0.50000001201
EIGHT(one, $0x3f8000003f800000) // 1.0
EIGHT(bias, $0x0000007f0000007f) // 127, of the exponent
EIGHT(signBit, $0x8000000080000000)

// EXP replaces Y0 by its exponential, as exp32 does. It clobbers Y1 to Y3. VMINPS
// and VMAXPS return their second operand, here Y0, when either is NaN.
#define EXP \
	VMOVUPS expMax<>(SB), Y1          \
	VMINPS Y0, Y1, Y0                 \
	VMOVUPS expMin<>(SB), Y1          \
	VMAXPS Y0, Y1, Y0                 \
	VMULPS log2e<>(SB), Y0, Y1        \
	VROUNDPS $0, Y1, Y1               \
	VFNMADD231PS ln2Hi<>(SB), Y1, Y0  \
	VFNMADD231PS ln2Lo<>(SB), Y1, Y0  \
	VMOVUPS exp0<>(SB), Y2            \
	VFMADD213PS exp1<>(SB), Y0, Y2    \
	VFMADD213PS exp2<>(SB), Y0, Y2    \
	VFMADD213PS exp3<>(SB), Y0, Y2    \
	VFMADD213PS exp4<>(SB), Y0, Y2    \
	VFMADD213PS exp5<>(SB), Y0, Y2    \
	VMULPS Y0, Y0, Y3                 \
	VFMADD213PS Y0, Y3, Y2            \
	VADDPS one<>(SB), Y2, Y2          \
	VCVTPS2DQ Y1, Y1                  \
	VPSRAD $1, Y1, Y3                 \
	VPSUBD Y3, Y1, Y1                 \
	VPADDD bias<>(SB), Y1, Y1         \
	VPADDD bias<>(SB), Y3, Y3         \
	VPSLLD $23, Y1, Y1                \
	VPSLLD $23, Y3, Y3                \
	VMULPS Y1, Y2, Y0                 \
	VMULPS Y3, Y0, Y0

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

// Y0 sigmoid, Y4 gate, Y5 up, Y6 dY·sigmoid, Y7 1 + gate·(1−sigmoid).
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
