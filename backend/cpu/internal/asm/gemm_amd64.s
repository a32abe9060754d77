//go:build !noasm

#include "textflag.h"

// The inner kernel keeps up to 6 rows × 16 columns of C in Y0 to Y11. For each
// k it loads 16 columns of the panel into Y12 and Y13 and broadcasts one
// element of A per row. ROWSn(OP) applies
//
//	OP(element of A, first and second half of the row of C, their registers)
//
// to n rows. SI and R9 point into rows 0 and 3 of A, R8 is A's row stride and
// R10 its column stride; DI and R12 point to rows 0 and 3 of C, R11 is its row
// stride; all in bytes.

#define ROWS1(OP) OP((SI), (DI), 32(DI), Y0, Y1)
#define ROWS2(OP) ROWS1(OP); OP((SI)(R8*1), (DI)(R11*1), 32(DI)(R11*1), Y2, Y3)
#define ROWS3(OP) ROWS2(OP); OP((SI)(R8*2), (DI)(R11*2), 32(DI)(R11*2), Y4, Y5)
#define ROWS4(OP) ROWS3(OP); OP((R9), (R12), 32(R12), Y6, Y7)
#define ROWS5(OP) ROWS4(OP); OP((R9)(R8*1), (R12)(R11*1), 32(R12)(R11*1), Y8, Y9)
#define ROWS6(OP) ROWS5(OP); OP((R9)(R8*2), (R12)(R11*2), 32(R12)(R11*2), Y10, Y11)

#define ZERO(a, c0, c1, y0, y1)  VXORPS y0, y0, y0; VXORPS y1, y1, y1
#define LOAD(a, c0, c1, y0, y1)  VMOVUPS c0, y0; VMOVUPS c1, y1
#define STORE(a, c0, c1, y0, y1) VMOVUPS y0, c0; VMOVUPS y1, c1
#define FMA(a, c0, c1, y0, y1)   VBROADCASTSS a, Y14; VFMADD231PS Y12, Y14, y0; VFMADD231PS Y13, Y14, y1

// STRIP computes the rows of C that ROWS describes.
#define STRIP(ROWS, loop) \
	ROWS(ZERO)                 \
	CMPB resume+72(FP), $0     \
	JEQ  loop                  \
	ROWS(LOAD)                 \
loop:                              \
	VMOVUPS (BX), Y12          \
	VMOVUPS 32(BX), Y13        \
	ROWS(FMA)                  \
	ADDQ R10, SI               \
	ADDQ R10, R9               \
	ADDQ $64, BX               \
	DECQ CX                    \
	JNZ  loop                  \
	ROWS(STORE)

// Seven or eight remaining rows are computed as 4+3 or 4+4: fewer than four
// rows cannot hide the latency of a multiply-add. Packed strips are not split.

// func gemmPanelAVX2(m, k int, a *float32, ars, acs, astep int, panel, c *float32, ldc int, resume bool)
TEXT ·gemmPanelAVX2(SB), NOSPLIT, $0-73
	MOVQ m+0(FP), R13
	MOVQ a+16(FP), DX
	MOVQ ars+24(FP), R8
	SHLQ $2, R8
	MOVQ acs+32(FP), R10
	SHLQ $2, R10
	MOVQ c+56(FP), DI
	MOVQ ldc+64(FP), R11
	SHLQ $2, R11
	MOVQ astep+40(FP), AX
	SHLQ $2, AX

strip:
	MOVQ k+8(FP), CX
	MOVQ panel+48(FP), BX
	MOVQ DX, SI
	LEAQ (R8)(R8*2), R9
	ADDQ SI, R9
	LEAQ (R11)(R11*2), R12
	ADDQ DI, R12
	CMPQ R13, $6
	JLT  short
	CMPQ R13, $9
	JGE  rows6
	CMPQ R13, $6
	JEQ  rows6
	CMPQ R8, R10 // in a packed strip, the row stride is smaller than the column stride
	JGE  rows4

rows6:
	STRIP(ROWS6, loop6)
	ADDQ AX, DX
	LEAQ (R12)(R11*2), DI
	ADDQ R11, DI
	SUBQ $6, R13
	JNZ  strip
	JMP  done

short:
	CMPQ R13, $4
	JGT  rows5
	JEQ  rows4
	CMPQ R13, $2
	JGT  rows3
	JEQ  rows2
	STRIP(ROWS1, loop1)
	JMP  done

rows2:
	STRIP(ROWS2, loop2)
	JMP  done

rows3:
	STRIP(ROWS3, loop3)
	JMP  done

rows4:
	STRIP(ROWS4, loop4)
	LEAQ (DX)(R8*4), DX
	LEAQ (DI)(R11*4), DI
	SUBQ $4, R13
	JNZ  strip
	JMP  done

rows5:
	STRIP(ROWS5, loop5)

done:
	VZEROUPPER
	RET

// PANEL multiplies one element of A, in Y14, by one row of one panel.
#define PANEL(lo, hi, y0, y1) VFMADD231PS lo, Y14, y0; VFMADD231PS hi, Y14, y1

// func gemmRowAVX2(k int, a *float32, acs int, panel *float32, panelStep int, c *float32, resume bool)
TEXT ·gemmRowAVX2(SB), NOSPLIT, $0-49
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ acs+16(FP), R10
	SHLQ $2, R10
	MOVQ panel+24(FP), BX
	MOVQ panelStep+32(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	MOVQ c+40(FP), DI
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	CMPB resume+48(FP), $0
	JEQ  loop
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	VMOVUPS 128(DI), Y4
	VMOVUPS 160(DI), Y5
	VMOVUPS 192(DI), Y6
	VMOVUPS 224(DI), Y7

loop:
	VBROADCASTSS (SI), Y14
	PANEL((BX), 32(BX), Y0, Y1)
	PANEL((BX)(R8*1), 32(BX)(R8*1), Y2, Y3)
	PANEL((BX)(R8*2), 32(BX)(R8*2), Y4, Y5)
	PANEL((BX)(R9*1), 32(BX)(R9*1), Y6, Y7)
	ADDQ R10, SI
	ADDQ $64, BX
	DECQ CX
	JNZ  loop
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VMOVUPS Y4, 128(DI)
	VMOVUPS Y5, 160(DI)
	VMOVUPS Y6, 192(DI)
	VMOVUPS Y7, 224(DI)
	VZEROUPPER
	RET

// func packStripAVX2(dst, a *float32, k, acs int)
TEXT ·packStripAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ acs+24(FP), R8
	SHLQ $2, R8

columns:
	VMOVUPS (SI), X0
	VMOVSD  16(SI), X1
	VMOVUPS X0, (DI)
	VMOVSD  X1, 16(DI)
	ADDQ R8, SI
	ADDQ $24, DI
	DECQ CX
	JNZ  columns
	RET

// func packRowsAVX2(dst, b *float32, k, rs int)
TEXT ·packRowsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ rs+24(FP), R8
	SHLQ $2, R8

rows:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ R8, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET

// TRANSPOSE4x8 stores four k of eight columns. src points to the first column;
// R8, R9, R10 and R11 are 1, 3, 5 and 7 column strides in bytes. The lower
// lanes take columns 0 to 3, the upper lanes columns 4 to 7.
#define TRANSPOSE4x8(src, off) \
	VMOVUPS (src), X0                      \
	VMOVUPS (src)(R8*1), X1                \
	VMOVUPS (src)(R8*2), X2                \
	VMOVUPS (src)(R9*1), X3                \
	VINSERTF128 $1, (src)(R8*4), Y0, Y0    \
	VINSERTF128 $1, (src)(R10*1), Y1, Y1   \
	VINSERTF128 $1, (src)(R9*2), Y2, Y2    \
	VINSERTF128 $1, (src)(R11*1), Y3, Y3   \
	VUNPCKLPS Y1, Y0, Y4                   \
	VUNPCKHPS Y1, Y0, Y5                   \
	VUNPCKLPS Y3, Y2, Y6                   \
	VUNPCKHPS Y3, Y2, Y7                   \
	VSHUFPS $0x44, Y6, Y4, Y0              \
	VSHUFPS $0xEE, Y6, Y4, Y1              \
	VSHUFPS $0x44, Y7, Y5, Y2              \
	VSHUFPS $0xEE, Y7, Y5, Y3              \
	VMOVUPS Y0, off+0(DI)                  \
	VMOVUPS Y1, off+64(DI)                 \
	VMOVUPS Y2, off+128(DI)                \
	VMOVUPS Y3, off+192(DI)

// func packTransposedAVX2(dst, b *float32, k, cs int)
TEXT ·packTransposedAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ k+16(FP), CX
	MOVQ cs+24(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (R9)(R8*4), R11
	LEAQ (SI)(R8*8), BX

quads:
	TRANSPOSE4x8(SI, 0)
	TRANSPOSE4x8(BX, 32)
	ADDQ $16, SI
	ADDQ $16, BX
	ADDQ $256, DI
	SUBQ $4, CX
	JNZ  quads
	VZEROUPPER
	RET
