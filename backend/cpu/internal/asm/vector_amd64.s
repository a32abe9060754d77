//go:build !noasm

#include "textflag.h"
#include "lanes_amd64.h"

// Rows: dst in DI, the inputs in SI, R8 and R9. Scalars: Y8 and Y9.

#define SCALE(LD, ST, KEEP) LD(SI, Y0); VMULPS Y8, Y0, Y0; ST(Y0, DI)

// func scaleAVX2(dst, x *float32, n int, s float32)
TEXT ·scaleAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS s+24(FP), Y8
	LANES(SCALE)
	VZEROUPPER
	RET

#define ADDXY(LD, ST, KEEP) LD(SI, Y0); LD(R8, Y1); VADDPS Y1, Y0, Y0; ST(Y0, DI)

// func addAVX2(dst, x, y *float32, n int)
TEXT ·addAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), R8
	MOVQ n+24(FP), CX
	LANES(ADDXY)
	VZEROUPPER
	RET

#define MULXY(LD, ST, KEEP) LD(SI, Y0); LD(R8, Y1); VMULPS Y1, Y0, Y0; ST(Y0, DI)

// func mulAVX2(dst, x, y *float32, n int)
TEXT ·mulAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), R8
	MOVQ n+24(FP), CX
	LANES(MULXY)
	VZEROUPPER
	RET

#define ADDSCALED(LD, ST, KEEP) LD(DI, Y0); LD(SI, Y1); VFMADD231PS Y1, Y8, Y0; ST(Y0, DI)

// func addScaledAVX2(dst, x *float32, n int, s float32)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS s+24(FP), Y8
	LANES(ADDSCALED)
	VZEROUPPER
	RET

#define SCALEMUL(LD, ST, KEEP) \
	LD(SI, Y0)         \
	LD(R8, Y1)         \
	VMULPS Y8, Y0, Y0  \
	VMULPS Y1, Y0, Y0  \
	ST(Y0, DI)

// func scaleMulAVX2(y, x, w *float32, n int, s float32)
TEXT ·scaleMulAVX2(SB), NOSPLIT, $0-36
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ w+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS s+32(FP), Y8
	LANES(SCALEMUL)
	VZEROUPPER
	RET

#define RMSNORMGRAD(LD, ST, KEEP) \
	LD(SI, Y0)              \
	LD(R8, Y1)              \
	LD(R9, Y2)              \
	VMULPS Y2, Y0, Y0       \
	VMULPS Y8, Y0, Y0       \
	VFNMADD231PS Y1, Y9, Y0 \
	ST(Y0, DI)

// func rmsNormGradAVX2(dx, dy, x, w *float32, n int, rstd, c float32)
TEXT ·rmsNormGradAVX2(SB), NOSPLIT, $0-48
	MOVQ dx+0(FP), DI
	MOVQ dy+8(FP), SI
	MOVQ x+16(FP), R8
	MOVQ w+24(FP), R9
	MOVQ n+32(FP), CX
	VBROADCASTSS rstd+40(FP), Y8
	VBROADCASTSS c+44(FP), Y9
	LANES(RMSNORMGRAD)
	VZEROUPPER
	RET

#define RMSNORMGRADWEIGHT(LD, ST, KEEP) \
	LD(DI, Y0)             \
	LD(SI, Y1)             \
	LD(R8, Y2)             \
	VMULPS Y8, Y2, Y2      \
	VFMADD231PS Y2, Y1, Y0 \
	ST(Y0, DI)

// func rmsNormGradWeightAVX2(dw, dy, x *float32, n int, rstd float32)
TEXT ·rmsNormGradWeightAVX2(SB), NOSPLIT, $0-36
	MOVQ dw+0(FP), DI
	MOVQ dy+8(FP), SI
	MOVQ x+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS rstd+32(FP), Y8
	LANES(RMSNORMGRADWEIGHT)
	VZEROUPPER
	RET

#define SOFTMAXGRAD(LD, ST, KEEP) \
	LD(SI, Y0)        \
	LD(R8, Y1)        \
	VSUBPS Y8, Y1, Y1 \
	VMULPS Y1, Y0, Y0 \
	VMULPS Y9, Y0, Y0 \
	ST(Y0, DI)

// func softmaxGradAVX2(dst, p, dp *float32, n int, delta, scale float32)
TEXT ·softmaxGradAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ dp+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS delta+32(FP), Y8
	VBROADCASTSS scale+36(FP), Y9
	LANES(SOFTMAXGRAD)
	VZEROUPPER
	RET

#define SUM(LD, off, acc) LD(SI, off, Y4); VADDPS Y4, acc, acc

// func sumAVX2(x *float32, n int) float32
TEXT ·sumAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	LANES32(SUM)
	SUM8
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

#define SUMSQUARES(LD, off, acc) LD(SI, off, Y4); VFMADD231PS Y4, Y4, acc

// func sumSquaresAVX2(x *float32, n int) float32
TEXT ·sumSquaresAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	LANES32(SUMSQUARES)
	SUM8
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

#define DOT2(LD, off, acc) LD(SI, off, Y4); LD(R8, off, Y5); VFMADD231PS Y5, Y4, acc

// func dotAVX2(x, y *float32, n int) float32
TEXT ·dotAVX2(SB), NOSPLIT, $0-28
	MOVQ x+0(FP), SI
	MOVQ y+8(FP), R8
	MOVQ n+16(FP), CX
	LANES32(DOT2)
	SUM8
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

#define DOT3(LD, off, acc) \
	LD(SI, off, Y4)   \
	LD(R8, off, Y5)   \
	VMULPS Y5, Y4, Y4 \
	LD(R9, off, Y5)   \
	VFMADD231PS Y5, Y4, acc

// func dot3AVX2(x, y, z *float32, n int) float32
TEXT ·dot3AVX2(SB), NOSPLIT, $0-36
	MOVQ x+0(FP), SI
	MOVQ y+8(FP), R8
	MOVQ z+16(FP), R9
	MOVQ n+24(FP), CX
	LANES32(DOT3)
	SUM8
	VMOVSS X0, ret+32(FP)
	VZEROUPPER
	RET

DATA negInf<>+0(SB)/4, $0xff800000
GLOBL negInf<>(SB), RODATA|NOPTR, $4

// Lanes outside of Y15 keep the maximum so far. If either operand is NaN,
// VMAXPS returns the second, here Y0.
#define MAX(LD, ST, KEEP) LD(SI, Y1); VMAXPS Y0, Y1, Y1; VBLENDVPS Y15, Y1, Y0, Y0

// func maxAVX2(x *float32, n int) float32
TEXT ·maxAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS negInf<>(SB), Y0
	VPCMPEQD Y15, Y15, Y15
	LANES(MAX)
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0x4E, X0, X1
	VMAXPS X1, X0, X0
	VPERMILPS $0xB1, X0, X1
	VMAXPS X1, X0, X0
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET
