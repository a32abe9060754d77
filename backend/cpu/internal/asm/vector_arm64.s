//go:build !noasm

#include "textflag.h"
#include "neon_arm64.h"
#include "lanes_arm64.h"

// Rows: dst in R0, the inputs in R1, R2 and R3. Scalars: V8 and V9.

#define SCALE(LD, ST, KEEP) LD(R1, V0); FMUL4(8, 0, 0); ST(V0, R0)

// func scaleNEON(dst, x *float32, n int, s float32)
TEXT ·scaleNEON(SB), NOSPLIT, $0-28
	MOVD  dst+0(FP), R0
	MOVD  x+8(FP), R1
	MOVD  n+16(FP), R5
	FMOVS s+24(FP), F8
	VDUP  V8.S[0], V8.S4
	LANES(SCALE)
	RET

#define ADDXY(LD, ST, KEEP) LD(R1, V0); LD(R2, V1); FADD4(1, 0, 0); ST(V0, R0)

// func addNEON(dst, x, y *float32, n int)
TEXT ·addNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD y+16(FP), R2
	MOVD n+24(FP), R5
	LANES(ADDXY)
	RET

#define MULXY(LD, ST, KEEP) LD(R1, V0); LD(R2, V1); FMUL4(1, 0, 0); ST(V0, R0)

// func mulNEON(dst, x, y *float32, n int)
TEXT ·mulNEON(SB), NOSPLIT, $0-32
	MOVD dst+0(FP), R0
	MOVD x+8(FP), R1
	MOVD y+16(FP), R2
	MOVD n+24(FP), R5
	LANES(MULXY)
	RET

#define ADDSCALED(LD, ST, KEEP) LD(R0, V0); LD(R1, V1); VFMLA V1.S4, V8.S4, V0.S4; ST(V0, R0)

// func addScaledNEON(dst, x *float32, n int, s float32)
TEXT ·addScaledNEON(SB), NOSPLIT, $0-28
	MOVD  dst+0(FP), R0
	MOVD  x+8(FP), R1
	MOVD  n+16(FP), R5
	FMOVS s+24(FP), F8
	VDUP  V8.S[0], V8.S4
	LANES(ADDSCALED)
	RET

#define SCALEMUL(LD, ST, KEEP) \
	LD(R1, V0)      \
	LD(R2, V1)      \
	FMUL4(8, 0, 0)  \
	FMUL4(1, 0, 0)  \
	ST(V0, R0)

// func scaleMulNEON(y, x, w *float32, n int, s float32)
TEXT ·scaleMulNEON(SB), NOSPLIT, $0-36
	MOVD  y+0(FP), R0
	MOVD  x+8(FP), R1
	MOVD  w+16(FP), R2
	MOVD  n+24(FP), R5
	FMOVS s+32(FP), F8
	VDUP  V8.S[0], V8.S4
	LANES(SCALEMUL)
	RET

#define RMSNORMGRAD(LD, ST, KEEP) \
	LD(R1, V0)                 \
	LD(R2, V1)                 \
	LD(R3, V2)                 \
	FMUL4(2, 0, 0)             \
	FMUL4(8, 0, 0)             \
	VFMLS V1.S4, V9.S4, V0.S4  \
	ST(V0, R0)

// func rmsNormGradNEON(dx, dy, x, w *float32, n int, rstd, c float32)
TEXT ·rmsNormGradNEON(SB), NOSPLIT, $0-48
	MOVD  dx+0(FP), R0
	MOVD  dy+8(FP), R1
	MOVD  x+16(FP), R2
	MOVD  w+24(FP), R3
	MOVD  n+32(FP), R5
	FMOVS rstd+40(FP), F8
	FMOVS c+44(FP), F9
	VDUP  V8.S[0], V8.S4
	VDUP  V9.S[0], V9.S4
	LANES(RMSNORMGRAD)
	RET

#define RMSNORMGRADWEIGHT(LD, ST, KEEP) \
	LD(R0, V0)                 \
	LD(R1, V1)                 \
	LD(R2, V2)                 \
	FMUL4(8, 2, 2)             \
	VFMLA V2.S4, V1.S4, V0.S4  \
	ST(V0, R0)

// func rmsNormGradWeightNEON(dw, dy, x *float32, n int, rstd float32)
TEXT ·rmsNormGradWeightNEON(SB), NOSPLIT, $0-36
	MOVD  dw+0(FP), R0
	MOVD  dy+8(FP), R1
	MOVD  x+16(FP), R2
	MOVD  n+24(FP), R5
	FMOVS rstd+32(FP), F8
	VDUP  V8.S[0], V8.S4
	LANES(RMSNORMGRADWEIGHT)
	RET

#define SOFTMAXGRAD(LD, ST, KEEP) \
	LD(R1, V0)      \
	LD(R2, V1)      \
	FSUB4(8, 1, 1)  \
	FMUL4(1, 0, 0)  \
	FMUL4(9, 0, 0)  \
	ST(V0, R0)

// func softmaxGradNEON(dst, p, dp *float32, n int, delta, scale float32)
TEXT ·softmaxGradNEON(SB), NOSPLIT, $0-40
	MOVD  dst+0(FP), R0
	MOVD  p+8(FP), R1
	MOVD  dp+16(FP), R2
	MOVD  n+24(FP), R5
	FMOVS delta+32(FP), F8
	FMOVS scale+36(FP), F9
	VDUP  V8.S[0], V8.S4
	VDUP  V9.S[0], V9.S4
	LANES(SOFTMAXGRAD)
	RET

// The maximum so far stays in lanes where no element is greater: beyond the end
// of the row, and where the element is NaN.
#define MAX(LD, ST, KEEP) LD(R1, V1); FCMGT4(0, 1, 2); KEEP(V2); VBIT V2.B16, V1.B16, V0.B16

// func maxNEON(x *float32, n int) float32
TEXT ·maxNEON(SB), NOSPLIT, $0-20
	MOVD  x+0(FP), R1
	MOVD  n+8(FP), R5
	MOVW  $0xff800000, R6 // -Inf
	VDUP  R6, V0.S4
	LANES(MAX)
	FMAXV4(0, 0)
	FMOVS F0, ret+16(FP)
	RET
