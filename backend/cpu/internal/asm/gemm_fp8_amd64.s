//go:build !noasm

#include "go_asm.h"
#include "textflag.h"
#include "gemm_bf16_amd64.h"

// Moved to the exponent and mantissa bits of a bf16 number, those of a normal
// E4M3 code become right if 120, the difference of the biases, is added to the
// exponent: 0x3c00. For subnormal codes WIDENALL adds the difference between
// their bf16 and their moved bits instead. The codes of NaN become ±480 here;
// the scales make the sums of their columns NaN.

#define WORDS(name, x) \
	DATA name<>+0(SB)/4, $x \
	GLOBL name<>(SB), RODATA|NOPTR, $4

WORDS(kept, 0x87f087f0)     // sign, exponent and mantissa
WORDS(exponent, 0x00780078) // exponent of a code
WORDS(normal, 0x3c003c00)
WORDS(quietNaN, 0x7fc00000)

// What is added to each subnormal code; the first code is zero.
DATA subnormals<>+0(SB)/8, $0x3b903b603af00000
DATA subnormals<>+8(SB)/8, $0x3bf03be03bd03bc0
GLOBL subnormals<>(SB), RODATA|NOPTR, $16

// WIDENING sets the constants of WIDEN, WIDENALL and SCALES, in Z24 to Z27 and Z31.
#define WIDENING \
	VPBROADCASTD kept<>(SB), Z24 \
	VPBROADCASTD exponent<>(SB), Z25 \
	VPBROADCASTD normal<>(SB), Z26 \
	VBROADCASTI32X4 subnormals<>(SB), Z27 \
	VPBROADCASTD quietNaN<>(SB), Z31

// WIDEN widens a quad of normal codes: the first pair to z0 and the second to
// z1.
#define WIDEN(codes, z0, z1) \
	VMOVDQU32 codes, z0 \
	VPSLLW $8, z0, z1 \
	VPSRAW $4, z0, z0 \
	VPSRAW $4, z1, z1 \
	VPANDD Z24, z0, z0 \
	VPANDD Z24, z1, z1 \
	VPADDW Z26, z0, z0 \
	VPADDW Z26, z1, z1

// WIDENALL is WIDEN for any codes. It clobbers Z29, Z30, K3 and K4.
#define WIDENALL(codes, z0, z1) \
	VMOVDQU32 codes, z0 \
	VPSRLW $8, z0, z1 \
	VMOVDQA64 Z26, Z29 \
	VMOVDQA64 Z26, Z30 \
	VPTESTNMW Z25, z1, K3 \
	VPTESTNMW Z25, z0, K4 \
	VPERMW Z27, z1, K3, Z29 \
	VPERMW Z27, z0, K4, Z30 \
	VPSLLW $8, z0, z1 \
	VPSRAW $4, z0, z0 \
	VPSRAW $4, z1, z1 \
	VPANDD Z24, z0, z0 \
	VPANDD Z24, z1, z1 \
	VPADDW Z29, z0, z0 \
	VPADDW Z30, z1, z1

// SCALES loads the scale of each column of a panel, or NaN if the column has a
// NaN. It clobbers K3.
#define SCALES(scale, nan, z) \
	VBROADCASTSS scale, z \
	KMOVW nan, K3 \
	VMOVAPS Z31, K3, z

// gemmTileFP8Dot keeps the sums of a tile in registers and then adds them to C.
// BX points into the widened panels, R15 to the scales of the rows. K1 and K2
// mask the columns of C.

// ADD multiplies the sums of a row by their scales and adds them to C. Z28 and
// Z29 hold the scales of the columns.
#define ADD(a, c, z0, z1, n0, n1) \
	VMULPS.BCST a, Z28, Z30 \
	VMULPS.BCST a, Z29, Z31 \
	VMULPS Z30, z0, z0 \
	VMULPS Z31, z1, z1 \
	VMOVUPS.Z c, K1, Z30 \
	VMOVUPS.Z 64 c, K2, Z31 \
	VADDPS Z30, z0, z0 \
	VADDPS Z31, z1, z1 \
	VMOVUPS z0, K1, c \
	VMOVUPS z1, K2, 64 c

#define TILE(ROWS, zero, loop) \
zero: \
	ROWS(ZERO) \
loop: \
	VMOVUPS (BX), Z28 \
	VMOVUPS 64(BX), Z29 \
	ROWS(PAIR) \
	ADDQ $4, SI \
	ADDQ $4, DX \
	ADDQ $128, BX \
	DECQ CX \
	JNZ  loop \
	MOVQ w+40(FP), BX \
	VMOVUPS widenedFP8_scales(BX), Z28 \
	VMOVUPS widenedFP8_scales+64(BX), Z29 \
	MOVQ R15, SI \
	LEAQ (SI)(R9*2), DX \
	ADDQ R8, DX \
	ROWS(ADD) \
	VZEROUPPER \
	RET

// func gemmTileFP8Dot(rows, pairs int, a, rowScales *byte, rowStep int, w *widenedFP8,
//	c *float32, ldc int, mask uint32)
TEXT ·gemmTileFP8Dot(SB), NOSPLIT, $0-68
	MOVL mask+64(FP), CX
	KMOVW CX, K1
	SHRL $16, CX
	KMOVW CX, K2
	MOVQ rows+0(FP), R14
	MOVQ pairs+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ rowScales+24(FP), R15
	MOVQ rowStep+32(FP), R8
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (SI)(R9*2), DX
	ADDQ R8, DX
	MOVQ w+40(FP), BX
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R13
	LEAQ (R11)(R11*4), AX
	LEAQ (DI)(R13*2), R12
	ADDQ R11, R12
	TILES(TILE)

// func widenFP8Dot(dst *widenedFP8, codes, marks *byte, panelStep, quads int)
TEXT ·widenFP8Dot(SB), NOSPLIT, $0-40
	WIDENING
	MOVQ dst+0(FP), DI
	MOVQ codes+8(FP), BX
	MOVQ marks+16(FP), AX
	MOVQ panelStep+24(FP), R12
	MOVQ quads+32(FP), CX
	LEAQ (R12)(R12*2), R15
	SCALES((AX), 4(AX), Z0)
	SCALES((AX)(R12*1), 4(AX)(R12*1), Z1)
	VMOVUPS Z0, widenedFP8_scales(DI)
	VMOVUPS Z1, widenedFP8_scales+64(DI)
	MOVL 8(AX), R13
	ORL  8(AX)(R12*1), R13

	// The next two panels are prefetched into the second-level cache, since
	// their first use would otherwise wait for memory.
loop:
	PREFETCHT1 (BX)(R12*2)
	PREFETCHT1 (BX)(R15*1)
	SHRL $1, R13
	JCS  all
	WIDEN((BX), Z16, Z20)
	WIDEN((BX)(R12*1), Z17, Z21)

store:
	VMOVDQU32 Z16, (DI)
	VMOVDQU32 Z17, 64(DI)
	VMOVDQU32 Z20, 128(DI)
	VMOVDQU32 Z21, 192(DI)
	ADDQ $64, BX
	ADDQ $256, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

all:
	WIDENALL((BX), Z16, Z20)
	WIDENALL((BX)(R12*1), Z17, Z21)
	JMP  store

// gemvFP8Dot keeps the sums of up to four rows of four panels in registers. SI
// and DI point into rows of A and C; DX points to the scales of A. BX points
// into the codes of the first panel, AX to its marks; R12 and R15 are one and
// three times the distance between panels. R14 is the number of quads left, CX
// that of the block; the next bit of R13 is set if a code of the quad is zero
// or subnormal. Codes are prefetched four quads ahead, which reads them from
// memory a tenth faster on a Zen 4.

// QUADS multiplies a quad of A by those of four panels, whose first pairs are
// in Z16 to Z19 and second pairs in Z20 to Z23.
#define QUADS(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VPBROADCASTD a, Z28 \
	DOT(n0, 28, 16); DOT(n1, 28, 17); DOT(n2, 28, 18); DOT(n3, 28, 19) \
	VPBROADCASTD 4 a, Z29 \
	DOT(n0, 29, 20); DOT(n1, 29, 21); DOT(n2, 29, 22); DOT(n3, 29, 23)

// ADD4 multiplies the sums of a row by their scales and adds them to C. Z16 to
// Z19 hold the scales of the columns.
#define ADD4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VMULPS.BCST a, Z16, Z20 \
	VMULPS.BCST a, Z17, Z21 \
	VMULPS.BCST a, Z18, Z22 \
	VMULPS.BCST a, Z19, Z23 \
	VMULPS Z20, z0, z0 \
	VMULPS Z21, z1, z1 \
	VMULPS Z22, z2, z2 \
	VMULPS Z23, z3, z3 \
	VADDPS c, z0, z0 \
	VADDPS 64 c, z1, z1 \
	VADDPS 128 c, z2, z2 \
	VADDPS 192 c, z3, z3 \
	VMOVUPS z0, c \
	VMOVUPS z1, 64 c \
	VMOVUPS z2, 128 c \
	VMOVUPS z3, 192 c

#define GEMV(ROWS, block, loop, all, dots) \
block: \
	MOVQ R14, CX \
	CMPQ CX, $32 \
	JLE  2(PC) \
	MOVQ $32, CX \
	SUBQ CX, R14 \
	MOVL 8(AX), R13 \
	ORL  8(AX)(R12*1), R13 \
	ORL  8(AX)(R12*2), R13 \
	ORL  8(AX)(R15*1), R13 \
	ROWS(ZERO4) \
loop: \
	PREFETCHT0 256(BX) \
	PREFETCHT0 256(BX)(R12*1) \
	PREFETCHT0 256(BX)(R12*2) \
	PREFETCHT0 256(BX)(R15*1) \
	SHRL $1, R13 \
	JCS  all \
	WIDEN((BX), Z16, Z20) \
	WIDEN((BX)(R12*1), Z17, Z21) \
	WIDEN((BX)(R12*2), Z18, Z22) \
	WIDEN((BX)(R15*1), Z19, Z23) \
dots: \
	ROWS(QUADS) \
	ADDQ $8, SI \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	SCALES((AX), 4(AX), Z16) \
	SCALES((AX)(R12*1), 4(AX)(R12*1), Z17) \
	SCALES((AX)(R12*2), 4(AX)(R12*2), Z18) \
	SCALES((AX)(R15*1), 4(AX)(R15*1), Z19) \
	XCHGQ SI, DX \
	ROWS(ADD4) \
	XCHGQ SI, DX \
	ADDQ $4, DX \
	ADDQ $const_markBytesFP8, AX \
	TESTQ R14, R14 \
	JNZ  block \
	VZEROUPPER \
	RET \
all: \
	WIDENALL((BX), Z16, Z20) \
	WIDENALL((BX)(R12*1), Z17, Z21) \
	WIDENALL((BX)(R12*2), Z18, Z22) \
	WIDENALL((BX)(R15*1), Z19, Z23) \
	JMP dots

// func gemvFP8Dot(rows, quads int, a *byte, rowHead, rowStep int, panel *byte, panelHead, panelStep int,
//	c *float32, ldc int)
TEXT ·gemvFP8Dot(SB), NOSPLIT, $0-80
	WIDENING
	MOVQ rows+0(FP), CX
	MOVQ quads+8(FP), R14
	MOVQ a+16(FP), DX
	MOVQ rowHead+24(FP), SI
	ADDQ DX, SI
	MOVQ rowStep+32(FP), R8
	LEAQ (R8)(R8*2), R9
	MOVQ panel+40(FP), AX
	MOVQ panelHead+48(FP), BX
	ADDQ AX, BX
	MOVQ panelStep+56(FP), R12
	LEAQ (R12)(R12*2), R15
	MOVQ c+64(FP), DI
	MOVQ ldc+72(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R10
	CMPQ CX, $2
	JEQ  rows2
	JGT  rows3to4
	GEMV(QUAD1, block1, loop1, all1, dots1)

rows2:
	GEMV(QUAD2, block2, loop2, all2, dots2)

rows3to4:
	CMPQ CX, $4
	JEQ  rows4
	GEMV(QUAD3, block3, loop3, all3, dots3)

rows4:
	GEMV(QUAD4, block4, loop4, all4, dots4)
