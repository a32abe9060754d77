//go:build !noasm

#include "go_asm.h"
#include "textflag.h"
#include "neon_arm64.h"
#include "lanes_arm64.h"

// w in R0, g in R1, m in R2, v in R3. V16 to V25 hold the fields of adamWCoeffs:
// gradScale, beta1, gain1, beta2, gain2, correct1, correct2, eps, lr, decay.
#define ADAMW(LD, ST, KEEP) \
	LD(R1, V0)                  \
	FMUL4(16, 0, 0)             \
	LD(R2, V1)                  \
	FMUL4(17, 1, 1)             \
	VFMLA V0.S4, V18.S4, V1.S4  \
	ST(V1, R2)                  \
	LD(R3, V2)                  \
	FMUL4(19, 2, 2)             \
	FMUL4(0, 0, 0)              \
	VFMLA V0.S4, V20.S4, V2.S4  \
	ST(V2, R3)                  \
	FMUL4(22, 2, 2)             \
	FSQRT4(2, 2)                \
	FADD4(23, 2, 2)             \
	FMUL4(21, 1, 1)             \
	FDIV4(2, 1, 1)              \
	LD(R0, V3)                  \
	VFMLA V3.S4, V25.S4, V1.S4  \
	VFMLS V1.S4, V24.S4, V3.S4  \
	ST(V3, R0)

// func adamWNEON(w, grad, m, v *float32, n int, c *adamWCoeffs)
TEXT ·adamWNEON(SB), NOSPLIT, $0-48
	MOVD w+0(FP), R0
	MOVD grad+8(FP), R1
	MOVD m+16(FP), R2
	MOVD v+24(FP), R3
	MOVD n+32(FP), R5
	MOVD c+40(FP), R4
	FMOVS adamWCoeffs_gradScale(R4), F16
	FMOVS adamWCoeffs_beta1(R4), F17
	FMOVS adamWCoeffs_gain1(R4), F18
	FMOVS adamWCoeffs_beta2(R4), F19
	FMOVS adamWCoeffs_gain2(R4), F20
	FMOVS adamWCoeffs_correct1(R4), F21
	FMOVS adamWCoeffs_correct2(R4), F22
	FMOVS adamWCoeffs_eps(R4), F23
	FMOVS adamWCoeffs_lr(R4), F24
	FMOVS adamWCoeffs_decay(R4), F25
	VDUP  V16.S[0], V16.S4
	VDUP  V17.S[0], V17.S4
	VDUP  V18.S[0], V18.S4
	VDUP  V19.S[0], V19.S4
	VDUP  V20.S[0], V20.S4
	VDUP  V21.S[0], V21.S4
	VDUP  V22.S[0], V22.S4
	VDUP  V23.S[0], V23.S4
	VDUP  V24.S[0], V24.S4
	VDUP  V25.S[0], V25.S4
	LANES(ADAMW)
	RET
