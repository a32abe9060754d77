//go:build !noasm

#include "textflag.h"

// Without VNNI, VPMADDUBSW multiplies unsigned by signed bytes and adds pairs
// to 16 bits with saturation. No format's sums saturate: see DOTQ8 and DOTQ4.
//
// The kernels keep up to 3 rows × 16 columns of C in Y0 to Y5 and the sums of a
// block in Y6 to Y11. ROWSn(OP, off) applies
//
//	OP(byte off of the row's block of A, both halves of the row of C,
//	   their registers, the registers of their sums)
//
// to n rows. SI points into row 0 of A, rows are R8 apart; DI points to row 0
// of C, rows are R11 apart; BX points into the panel.

#define ROWS1(OP, off) OP(off(SI), (DI), 32(DI), Y0, Y1, Y6, Y7)
#define ROWS2(OP, off) ROWS1(OP, off); OP(off(SI)(R8*1), (DI)(R11*1), 32(DI)(R11*1), Y2, Y3, Y8, Y9)
#define ROWS3(OP, off) ROWS2(OP, off); OP(off(SI)(R8*2), (DI)(R11*2), 32(DI)(R11*2), Y4, Y5, Y10, Y11)

#define ZERO(a, c0, c1, f0, f1, s0, s1)  VXORPS f0, f0, f0; VXORPS f1, f1, f1
#define START(a, c0, c1, f0, f1, s0, s1) VPXOR s0, s0, s0; VPXOR s1, s1, s1
#define LOAD(a, c0, c1, f0, f1, s0, s1)  VMOVUPS c0, f0; VMOVUPS c1, f1
#define STORE(a, c0, c1, f0, f1, s0, s1) VMOVUPS f0, c0; VMOVUPS f1, c1

// SCALE multiplies the sums of a block by their scales and adds them to C. Y12
// and Y13 hold the scales of the columns.
#define SCALE(a, c0, c1, f0, f1, s0, s1) \
	VBROADCASTSS a, Y14       \
	VXORPS Y15, Y15, Y15      \
	VCVTDQ2PS s0, s0          \
	VCVTDQ2PS s1, s1          \
	VFMADD213PS Y15, Y12, s0  \
	VFMADD213PS Y15, Y13, s1  \
	VFMADD231PS Y14, s0, f0   \
	VFMADD231PS Y14, s1, f1

#define SCALES(ROWS) ROWS(SCALE, 32)

// STRIP computes the rows of C that ROWS describes. SUMS(ROWS) computes the
// sums of a block, END(ROWS) adds them to C, for example by SCALE, and size is
// the size of a panel's block in bytes.
#define STRIP(ROWS, SUMS, END, size, loop) \
	ROWS(ZERO, 0)              \
	CMPB resume+56(FP), $0     \
	JEQ  loop                  \
	ROWS(LOAD, 0)              \
loop:                              \
	ROWS(START, 0)             \
	SUMS(ROWS)                 \
	VCVTPH2PS (BX), Y12        \
	VCVTPH2PS 16(BX), Y13      \
	END(ROWS)                  \
	ADDQ $40, SI               \
	ADDQ $size, BX             \
	DECQ CX                    \
	JNZ  loop                  \
	ROWS(STORE, 0)

// GEMMQUANT is the body of
//
//	func(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)
#define GEMMQUANT(SUMS, END, size) \
	MOVQ m+0(FP), R13          \
	MOVQ rows+16(FP), AX       \
	MOVQ rowStep+24(FP), R8    \
	MOVQ c+40(FP), DI          \
	MOVQ ldc+48(FP), R11       \
	SHLQ $2, R11               \
strip:                             \
	MOVQ blocks+8(FP), CX      \
	MOVQ panel+32(FP), BX      \
	MOVQ AX, SI                \
	CMPQ R13, $2               \
	JLT  rows1                 \
	JEQ  rows2                 \
	STRIP(ROWS3, SUMS, END, size, loop3) \
	LEAQ (R8)(R8*2), R9        \
	ADDQ R9, AX                \
	LEAQ (R11)(R11*2), R9      \
	ADDQ R9, DI                \
	SUBQ $3, R13               \
	JNZ  strip                 \
	JMP  done                  \
rows2:                             \
	STRIP(ROWS2, SUMS, END, size, loop2) \
	JMP  done                  \
rows1:                             \
	STRIP(ROWS1, SUMS, END, size, loop1) \
done:                              \
	VZEROUPPER                 \
	RET

DATA bits<>+0(SB)/4, $0x80808080 // 128 in each byte
DATA bits<>+4(SB)/4, $0x0f0f0f0f // the lower half of each byte
DATA bits<>+8(SB)/4, $0x00010001 // 1 in each 16 bits
GLOBL bits<>(SB), RODATA|NOPTR, $12

// DOTQ8 multiplies four activations by 4×8 weights. The weights' magnitudes, at
// most 128, are in Y13; their signs, in Y12, are applied to the activations, at
// most 127, so the sum of two products stays below 2¹⁵. Y15 holds ones.
#define DOTQ8(a, s) \
	VPBROADCASTD a, Y14          \
	VPSIGNB Y12, Y14, Y14        \
	VPMADDUBSW Y14, Y13, Y14     \
	VPMADDWD Y15, Y14, Y14       \
	VPADDD Y14, s, s
#define DOTQ8LO(a, c0, c1, f0, f1, s0, s1) DOTQ8(a, s0)
#define DOTQ8HI(a, c0, c1, f0, f1, s0, s1) DOTQ8(a, s1)

// HALFQ8 loads the 4×8 weights at byte w.
#define HALFQ8(w) \
	VPBROADCASTD bits<>+0(SB), Y12 \
	VPXOR w(BX), Y12, Y12          \
	VPABSB Y12, Y13

#define QUADQ8(ROWS, k, w) \
	HALFQ8(w)          \
	ROWS(DOTQ8LO, k)   \
	HALFQ8(w+32)       \
	ROWS(DOTQ8HI, k)

#define SUMSQ8(ROWS) \
	VPBROADCASTD bits<>+8(SB), Y15 \
	QUADQ8(ROWS, 0, 32)   \
	QUADQ8(ROWS, 4, 96)   \
	QUADQ8(ROWS, 8, 160)  \
	QUADQ8(ROWS, 12, 224) \
	QUADQ8(ROWS, 16, 288) \
	QUADQ8(ROWS, 20, 352) \
	QUADQ8(ROWS, 24, 416) \
	QUADQ8(ROWS, 28, 480)

// func gemmQ8AVX2(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)
TEXT ·gemmQ8AVX2(SB), NOSPLIT, $0-57
	GEMMQUANT(SUMSQ8, SCALES, 544)

// DOTQ4 multiplies four activations by 4×8 weights in w, which are 0 to 15. The
// sum over a whole block, eight pairs of products of at most 15·127 each, stays
// below 2¹⁵.
#define DOTQ4(a, w, s) \
	VPBROADCASTD a, Y14      \
	VPMADDUBSW Y14, w, Y14   \
	VPADDW Y14, s, s
#define DOTQ4LO0(a, c0, c1, f0, f1, s0, s1) DOTQ4(a, Y12, s0)
#define DOTQ4LO4(a, c0, c1, f0, f1, s0, s1) DOTQ4(a, Y13, s0)
#define DOTQ4HI0(a, c0, c1, f0, f1, s0, s1) DOTQ4(a, Y12, s1)
#define DOTQ4HI4(a, c0, c1, f0, f1, s0, s1) DOTQ4(a, Y13, s1)

// HALFQ4 loads the 8×8 weights at byte w: k 0 to 3 into Y12, 4 to 7 into Y13.
// Y15 holds the mask of the lower halves of bytes.
#define HALFQ4(w) \
	VMOVDQU w(BX), Y13    \
	VPAND Y13, Y15, Y12   \
	VPSRLD $4, Y13, Y13   \
	VPAND Y13, Y15, Y13

#define OCTQ4(ROWS, k0, k4, w) \
	HALFQ4(w)            \
	ROWS(DOTQ4LO0, k0)   \
	ROWS(DOTQ4LO4, k4)   \
	HALFQ4(w+32)         \
	ROWS(DOTQ4HI0, k0)   \
	ROWS(DOTQ4HI4, k4)

// WIDENQ4 adds pairs of 16-bit sums, then −8·Σq, a sixteenth of the number in
// the block of A, since the weights are stored with 8 added. Y15 holds ones.
#define WIDENQ4(a, c0, c1, f0, f1, s0, s1) \
	VPBROADCASTD a, Y14    \
	VPSRAD $4, Y14, Y14    \
	VPMADDWD Y15, s0, s0   \
	VPMADDWD Y15, s1, s1   \
	VPADDD Y14, s0, s0     \
	VPADDD Y14, s1, s1

#define PAIRSQ4(ROWS) \
	VPBROADCASTD bits<>+4(SB), Y15 \
	OCTQ4(ROWS, 0, 4, 32)    \
	OCTQ4(ROWS, 8, 12, 96)   \
	OCTQ4(ROWS, 16, 20, 160) \
	OCTQ4(ROWS, 24, 28, 224) \
	VPBROADCASTD bits<>+8(SB), Y15

#define SUMSQ4(ROWS) PAIRSQ4(ROWS); ROWS(WIDENQ4, 36)

// func gemmQ4AVX2(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)
TEXT ·gemmQ4AVX2(SB), NOSPLIT, $0-57
	GEMMQUANT(SUMSQ4, SCALES, 288)

// WIDENQ4_1 adds pairs of 16-bit sums: the weights have no offset.
#define WIDENQ4_1(a, c0, c1, f0, f1, s0, s1) \
	VPMADDWD Y15, s0, s0   \
	VPMADDWD Y15, s1, s1

#define SUMSQ4_1(ROWS) PAIRSQ4(ROWS); ROWS(WIDENQ4_1, 0)

// VALUE multiplies the sums of a block by the scales in Y12 and Y13 and adds
// the sum of the activations times the minimums. It rounds once, since the
// latter product is exact. −128 times the sum of the activations is at a.
#define VALUE(a, c0, c1, f0, f1, s0, s1) \
	VPBROADCASTD a, Y14         \
	VPXOR Y15, Y15, Y15         \
	VPSRAD $7, Y14, Y14         \
	VPSUBD Y14, Y15, Y14        \
	VCVTDQ2PS Y14, Y14          \
	VCVTDQ2PS s0, s0            \
	VCVTDQ2PS s1, s1            \
	VCVTPH2PS 288(BX), Y15      \
	VMULPS Y14, Y15, Y15        \
	VFMADD213PS Y15, Y12, s0    \
	VCVTPH2PS 304(BX), Y15      \
	VMULPS Y14, Y15, Y15        \
	VFMADD213PS Y15, Y13, s1

#define ADDROW(a, c0, c1, f0, f1, s0, s1) \
	VBROADCASTSS a, Y14        \
	VFMADD231PS Y14, s0, f0    \
	VFMADD231PS Y14, s1, f1

#define VALUES(ROWS) ROWS(VALUE, 36); ROWS(ADDROW, 32)

// func gemmQ4_1AVX2(m, blocks int, rows *byte, rowStep int, panel *byte, c *float32, ldc int, resume bool)
TEXT ·gemmQ4_1AVX2(SB), NOSPLIT, $0-57
	GEMMQUANT(SUMSQ4_1, VALUES, 320)
