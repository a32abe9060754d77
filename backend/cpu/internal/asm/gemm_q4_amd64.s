//go:build !noasm

#include "textflag.h"
#include "gemm_quant_amd64.h"

DATA nibbles<>+0(SB)/8, $0x0f0f0f0f0f0f0f0f
GLOBL nibbles<>(SB), RODATA|NOPTR, $8

// A block of A has −128·Σq at byte 36; the weights are stored with 8 added.
#define FROMSUM(a, c0, c1, f0, f1, s0, s1) VPSRAD.BCST $4, a, s0; VMOVDQA64 s0, s1
#define STARTQ4(ROWS) ROWS(FROMSUM, 36)

// AHEAD prefetches byte w of the block in the next two panels, which come from
// memory, into the second-level cache. R10 is 3·DX.
#define AHEAD(w) PREFETCHT1 w(BX)(DX*2); PREFETCHT1 w(BX)(R10*1)

// OCT multiplies eight k, whose weights are at byte w: the first four k in the
// lower halves of the bytes.
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

// OCTS multiplies a block of 32 k by OCT or GEMVOCT.
#define OCTS(OCT, ROWS) \
	OCT(ROWS, 0, 4, 32)    \
	OCT(ROWS, 8, 12, 96)   \
	OCT(ROWS, 16, 20, 160) \
	OCT(ROWS, 24, 28, 224)

#define DOTSQ4(ROWS) OCTS(OCT, ROWS)

// func gemmQ4Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32,
//	ldc int, mask uint32, resume bool)
TEXT ·gemmQ4Dot(SB), NOSPLIT, $0-69
	VPBROADCASTQ nibbles<>(SB), Z30
	MOVQ panelStep+40(FP), R10
	LEAQ (R10)(R10*2), R10
	GEMMQUANT(STARTQ4, DOTSQ4, SCALES, 288)

#define GEMVFROMSUM(a, c, f, s) VPSRAD.BCST $4, a, s

// GEMVOCT is OCT for one panel.
#define GEMVOCT(ROWS, k0, k4, w) \
	VMOVDQU32 w(BX), Z26        \
	VPANDD Z26, Z30, Z24        \
	VPSRLD $4, Z26, Z26         \
	ROWS(GEMVDOT, k0)           \
	VPANDD Z26, Z30, Z24        \
	ROWS(GEMVDOT, k4)

#define GEMVDOTSQ4(ROWS) OCTS(GEMVOCT, ROWS)

// func gemvQ4Dot(m, blocks int, rows *byte, rowStep int, panel *byte, n int, c *float32, ldc int, resume bool)
TEXT ·gemvQ4Dot(SB), NOSPLIT, $0-65
	VPBROADCASTQ nibbles<>(SB), Z30
	GEMVQUANT(GEMVFROMSUM, GEMVDOTSQ4, GEMVSCALES, 288)

// The weights of Q4_1 have no offset, so the sums start from 0.
#define NOSUM(a, c0, c1, f0, f1, s0, s1) VPXORD s0, s0, s0; VPXORD s1, s1, s1
#define STARTQ4_1(ROWS) ROWS(NOSUM, 0)

// VALUE multiplies the sums of a block by the scales of the columns and adds
// the sum of the activations times the minimums. It rounds once, since the
// latter product is exact. −128 times the sum of the activations is at a. Z24
// and Z25 hold the scales, Z29 and Z31 the minimums, Z28 zeros.
#define VALUE(a, c0, c1, f0, f1, s0, s1) \
	VPSRAD.BCST $7, a, Z26     \
	VPSUBD Z26, Z28, Z26       \
	VCVTDQ2PS Z26, Z26         \
	VCVTDQ2PS s0, s0           \
	VCVTDQ2PS s1, s1           \
	VMULPS Z29, Z26, Z27       \
	VMULPS Z31, Z26, Z26       \
	VFMADD213PS Z27, Z24, s0   \
	VFMADD213PS Z26, Z25, s1

#define ADDROW(a, c0, c1, f0, f1, s0, s1) \
	VFMADD231PS.BCST a, s0, f0 \
	VFMADD231PS.BCST a, s1, f1

#define VALUES(ROWS) \
	VCVTPH2PS (BX), Z24           \
	VCVTPH2PS (BX)(DX*1), Z25     \
	VCVTPH2PS 288(BX), Z29        \
	VCVTPH2PS 288(BX)(DX*1), Z31  \
	ROWS(VALUE, 36)               \
	ROWS(ADDROW, 32)

// func gemmQ4_1Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32,
//	ldc int, mask uint32, resume bool)
TEXT ·gemmQ4_1Dot(SB), NOSPLIT, $0-69
	VPBROADCASTQ nibbles<>(SB), Z30
	MOVQ panelStep+40(FP), R10
	LEAQ (R10)(R10*2), R10
	GEMMQUANT(STARTQ4_1, DOTSQ4, VALUES, 320)

#define GEMVNOSUM(a, c, f, s) VPXORD s, s, s

// GEMVVALUE is VALUE for one panel.
#define GEMVVALUE(a, c, f, s) \
	VPSRAD.BCST $7, a, Z26     \
	VPSUBD Z26, Z28, Z26       \
	VCVTDQ2PS Z26, Z26         \
	VCVTDQ2PS s, s             \
	VMULPS Z29, Z26, Z27       \
	VFMADD213PS Z27, Z24, s

#define GEMVADDROW(a, c, f, s) VFMADD231PS.BCST a, s, f

#define GEMVVALUES(ROWS) \
	VCVTPH2PS (BX), Z24        \
	VCVTPH2PS 288(BX), Z29     \
	ROWS(GEMVVALUE, 36)        \
	ROWS(GEMVADDROW, 32)

// func gemvQ4_1Dot(m, blocks int, rows *byte, rowStep int, panel *byte, n int, c *float32, ldc int, resume bool)
TEXT ·gemvQ4_1Dot(SB), NOSPLIT, $0-65
	VPBROADCASTQ nibbles<>(SB), Z30
	GEMVQUANT(GEMVNOSUM, GEMVDOTSQ4, GEMVVALUES, 320)
