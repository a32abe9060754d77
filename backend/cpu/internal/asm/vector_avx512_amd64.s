//go:build !noasm

#include "textflag.h"
#include "lanes_avx512_amd64.h"

// The kernels of vector_amd64.s for sixteen elements at a time. They give the
// same bits. Rows: dst in DI, the inputs in SI, R8 and R9. Scalars: Z8 and Z9.

#define ADDXY(LD, ST) LD(SI, Z0); LD(R8, Z1); VADDPS Z1, Z0, Z0; ST(Z0, DI)

// func addAVX512(dst, x, y *float32, n int)
TEXT ·addAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), R8
	MOVQ n+24(FP), CX
	LANES512(ADDXY)
	VZEROUPPER
	RET

#define SCALEMUL(LD, ST) \
	LD(SI, Z0)         \
	LD(R8, Z1)         \
	VMULPS Z8, Z0, Z0  \
	VMULPS Z1, Z0, Z0  \
	ST(Z0, DI)

// func scaleMulAVX512(y, x, w *float32, n int, s float32)
TEXT ·scaleMulAVX512(SB), NOSPLIT, $0-36
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ w+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS s+32(FP), Z8
	LANES512(SCALEMUL)
	VZEROUPPER
	RET

#define RMSNORMGRAD(LD, ST) \
	LD(SI, Z0)              \
	LD(R8, Z1)              \
	LD(R9, Z2)              \
	VMULPS Z2, Z0, Z0       \
	VMULPS Z8, Z0, Z0       \
	VFNMADD231PS Z1, Z9, Z0 \
	ST(Z0, DI)

// func rmsNormGradAVX512(dx, dy, x, w *float32, n int, rstd, c float32)
TEXT ·rmsNormGradAVX512(SB), NOSPLIT, $0-48
	MOVQ dx+0(FP), DI
	MOVQ dy+8(FP), SI
	MOVQ x+16(FP), R8
	MOVQ w+24(FP), R9
	MOVQ n+32(FP), CX
	VBROADCASTSS rstd+40(FP), Z8
	VBROADCASTSS c+44(FP), Z9
	LANES512(RMSNORMGRAD)
	VZEROUPPER
	RET

#define RMSNORMGRADWEIGHT(LD, ST) \
	LD(DI, Z0)             \
	LD(SI, Z1)             \
	LD(R8, Z2)             \
	VMULPS Z8, Z2, Z2      \
	VFMADD231PS Z2, Z1, Z0 \
	ST(Z0, DI)

// func rmsNormGradWeightAVX512(dw, dy, x *float32, n int, rstd float32)
TEXT ·rmsNormGradWeightAVX512(SB), NOSPLIT, $0-36
	MOVQ dw+0(FP), DI
	MOVQ dy+8(FP), SI
	MOVQ x+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSS rstd+32(FP), Z8
	LANES512(RMSNORMGRADWEIGHT)
	VZEROUPPER
	RET
