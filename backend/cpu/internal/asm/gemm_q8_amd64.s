//go:build !noasm

#include "textflag.h"
#include "gemm_quant_amd64.h"

// A block of A has −128·Σq at byte 36; the weights are stored with 128 added.
#define FROMSUM(a, c0, c1, f0, f1, s0, s1) VPBROADCASTD a, s0; VMOVDQA64 s0, s1
#define STARTQ8(ROWS) ROWS(FROMSUM, 36)

// QUAD multiplies four k, whose weights are at byte w.
#define QUAD(ROWS, k, w) \
	VMOVDQU32 w(BX), Z24        \
	VMOVDQU32 w(BX)(DX*1), Z25  \
	ROWS(DOT, k)

// QUADS multiplies a block of 32 k by QUAD or GEMVQUAD.
#define QUADS(QUAD, ROWS) \
	QUAD(ROWS, 0, 32)   \
	QUAD(ROWS, 4, 96)   \
	QUAD(ROWS, 8, 160)  \
	QUAD(ROWS, 12, 224) \
	QUAD(ROWS, 16, 288) \
	QUAD(ROWS, 20, 352) \
	QUAD(ROWS, 24, 416) \
	QUAD(ROWS, 28, 480)

#define DOTSQ8(ROWS) QUADS(QUAD, ROWS)

// func gemmQ8Dot(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int, c *float32,
//	ldc int, mask uint32, resume bool)
TEXT ·gemmQ8Dot(SB), NOSPLIT, $0-69
	GEMMQUANT(STARTQ8, DOTSQ8, SCALES, 544)

#define GEMVFROMSUM(a, c, f, s) VPBROADCASTD a, s

// GEMVQUAD is QUAD for one panel.
#define GEMVQUAD(ROWS, k, w) \
	VMOVDQU32 w(BX), Z24        \
	ROWS(GEMVDOT, k)

#define GEMVDOTSQ8(ROWS) QUADS(GEMVQUAD, ROWS)

// func gemvQ8Dot(m, blocks int, rows *byte, rowStep int, panel *byte, n int, c *float32, ldc int, resume bool)
TEXT ·gemvQ8Dot(SB), NOSPLIT, $0-65
	GEMVQUANT(GEMVFROMSUM, GEMVDOTSQ8, GEMVSCALES, 544)

// func int8LoopDot(n int)
TEXT ·int8LoopDot(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX

loop:
	VPDPBUSD Z24, Z25, Z0
	VPDPBUSD Z24, Z25, Z1
	VPDPBUSD Z24, Z25, Z2
	VPDPBUSD Z24, Z25, Z3
	VPDPBUSD Z24, Z25, Z4
	VPDPBUSD Z24, Z25, Z5
	VPDPBUSD Z24, Z25, Z6
	VPDPBUSD Z24, Z25, Z7
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
