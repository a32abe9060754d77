//go:build !noasm

#include "textflag.h"
#include "gemm_quant_amd64.h"

DATA nibbles<>+0(SB)/8, $0x0f0f0f0f0f0f0f0f
GLOBL nibbles<>(SB), RODATA|NOPTR, $8

// A block of A holds −128·Σq at byte 36: the weights are stored with 8 added.
#define FROMSUM(a, c0, c1, f0, f1, s0, s1) VPSRAD.BCST $4, a, s0; VMOVDQA64 s0, s1
#define STARTQ4(ROWS) ROWS(FROMSUM, 36)

// AHEAD fetches byte w of the block in the next two panels into the second-level
// cache: few rows then read from memory about a tenth faster on a Zen 4. Q8 gained
// nothing by it. R10 is 3·DX.
#define AHEAD(w) PREFETCHT1 w(BX)(DX*2); PREFETCHT1 w(BX)(R10*1)

// OCT is eight k, of which the weights are at byte w: the first four in the lower
// halves of the bytes.
#define OCT(ROWS, k0, k4, w) \
	AHEAD(w)                    \
	VMOVDQU32 w(BX), Z26        \
	VMOVDQU32 w(BX)(DX*1), Z27  \
	VPANDD Z26, Z30, Z24        \
	VPANDD Z27, Z30, Z25        \
	VPSRLD $4, Z26, Z26         \
	VPSRLD $4, Z27, Z27         \
	ROWS(DOT, k0)               \
	VPANDD Z26, Z30, Z24        \
	VPANDD Z27, Z30, Z25        \
	ROWS(DOT, k4)

#define DOTSQ4(ROWS) \
	OCT(ROWS, 0, 4, 32)    \
	OCT(ROWS, 8, 12, 96)   \
	OCT(ROWS, 16, 20, 160) \
	OCT(ROWS, 24, 28, 224)

// func gemmQ4Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32, ldc int, mask uint32, resume bool)
TEXT ·gemmQ4Dot(SB), NOSPLIT, $0-69
	VPBROADCASTQ nibbles<>(SB), Z30
	MOVQ panelStep+40(FP), R10
	LEAQ (R10)(R10*2), R10
	GEMMQUANT(STARTQ4, DOTSQ4, 288)
