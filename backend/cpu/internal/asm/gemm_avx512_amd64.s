//go:build !noasm

#include "textflag.h"

// The inner kernel keeps up to 28 vectors of C in Z0 to Z27: 14 rows of one or
// two panels, or 7 rows of four. For each k it loads a row of every panel into
// Z28 to Z31 and multiplies them by one element of A per row of C, broadcast by
// the multiply-add itself. Rows are described once, by ROWSn(OP), as
//
//	OP(element of A, row of C, their registers)
//
// SI, R13 and R15 walk rows 0, 5 and 10 of A, R8 is A's row stride and R10 its
// column stride; DI, R13 and R15 are rows 0, 5 and 10 of C outside of the loop,
// R11 its row stride; R9 and R12 are three row strides; all in bytes. K1 masks
// the last panel's columns of C.

#define A0 (SI)
#define A1 (SI)(R8*1)
#define A2 (SI)(R8*2)
#define A3 (SI)(R9*1)
#define A4 (SI)(R8*4)
#define A5 (R13)
#define A6 (R13)(R8*1)
#define A7 (R13)(R8*2)
#define A8 (R13)(R9*1)
#define A9 (R13)(R8*4)
#define A10 (R15)
#define A11 (R15)(R8*1)
#define A12 (R15)(R8*2)
#define A13 (R15)(R9*1)

#define C0 (DI)
#define C1 (DI)(R11*1)
#define C2 (DI)(R11*2)
#define C3 (DI)(R12*1)
#define C4 (DI)(R11*4)
#define C5 (R13)
#define C6 (R13)(R11*1)
#define C7 (R13)(R11*2)
#define C8 (R13)(R12*1)
#define C9 (R13)(R11*4)
#define C10 (R15)
#define C11 (R15)(R11*1)
#define C12 (R15)(R11*2)
#define C13 (R15)(R12*1)

#define ROWS1(OP) OP(A0, C0, Z0, Z1)
#define ROWS2(OP) ROWS1(OP); OP(A1, C1, Z2, Z3)
#define ROWS3(OP) ROWS2(OP); OP(A2, C2, Z4, Z5)
#define ROWS4(OP) ROWS3(OP); OP(A3, C3, Z6, Z7)
#define ROWS5(OP) ROWS4(OP); OP(A4, C4, Z8, Z9)
#define ROWS6(OP) ROWS5(OP); OP(A5, C5, Z10, Z11)
#define ROWS7(OP) ROWS6(OP); OP(A6, C6, Z12, Z13)
#define ROWS8(OP) ROWS7(OP); OP(A7, C7, Z14, Z15)
#define ROWS9(OP) ROWS8(OP); OP(A8, C8, Z16, Z17)
#define ROWS10(OP) ROWS9(OP); OP(A9, C9, Z18, Z19)
#define ROWS11(OP) ROWS10(OP); OP(A10, C10, Z20, Z21)
#define ROWS12(OP) ROWS11(OP); OP(A11, C11, Z22, Z23)
#define ROWS13(OP) ROWS12(OP); OP(A12, C12, Z24, Z25)
#define ROWS14(OP) ROWS13(OP); OP(A13, C13, Z26, Z27)

// The same for rows of four vectors.
#define QUAD1(OP) OP(A0, C0, Z0, Z1, Z2, Z3)
#define QUAD2(OP) QUAD1(OP); OP(A1, C1, Z4, Z5, Z6, Z7)
#define QUAD3(OP) QUAD2(OP); OP(A2, C2, Z8, Z9, Z10, Z11)
#define QUAD4(OP) QUAD3(OP); OP(A3, C3, Z12, Z13, Z14, Z15)
#define QUAD5(OP) QUAD4(OP); OP(A4, C4, Z16, Z17, Z18, Z19)
#define QUAD6(OP) QUAD5(OP); OP(A5, C5, Z20, Z21, Z22, Z23)
#define QUAD7(OP) QUAD6(OP); OP(A6, C6, Z24, Z25, Z26, Z27)

#define ZERO1(a, c, z0, z1) VPXORD z0, z0, z0
#define LOAD1(a, c, z0, z1) VMOVUPS.Z c, K1, z0
#define STORE1(a, c, z0, z1) VMOVUPS z0, K1, c
#define FMA1(a, c, z0, z1) VFMADD231PS.BCST a, Z28, z0
#define PANEL1 VMOVUPS (BX), Z28

#define ZERO2(a, c, z0, z1) VPXORD z0, z0, z0; VPXORD z1, z1, z1
#define LOAD2(a, c, z0, z1) VMOVUPS c, z0; VMOVUPS.Z 64 c, K1, z1
#define STORE2(a, c, z0, z1) VMOVUPS z0, c; VMOVUPS z1, K1, 64 c
#define FMA2(a, c, z0, z1) VFMADD231PS.BCST a, Z28, z0; VFMADD231PS.BCST a, Z29, z1
#define PANEL2 VMOVUPS (BX), Z28; VMOVUPS (BX)(AX*1), Z29

#define ZERO4(a, c, z0, z1, z2, z3) ZERO2(a, c, z0, z1); ZERO2(a, c, z2, z3)
#define LOAD4(a, c, z0, z1, z2, z3) VMOVUPS c, z0; VMOVUPS 64 c, z1; VMOVUPS 128 c, z2; VMOVUPS.Z 192 c, K1, z3
#define STORE4(a, c, z0, z1, z2, z3) VMOVUPS z0, c; VMOVUPS z1, 64 c; VMOVUPS z2, 128 c; VMOVUPS z3, K1, 192 c
#define FMA4(a, c, z0, z1, z2, z3) FMA2(a, c, z0, z1); VFMADD231PS.BCST a, Z30, z2; VFMADD231PS.BCST a, Z31, z3
#define PANEL4 PANEL2; VMOVUPS (BX)(AX*2), Z30; VMOVUPS (BX)(DX*1), Z31

// A single row shares one broadcast among its four multiply-adds.
#define FMA4ONE(a, c, z0, z1, z2, z3) \
	VBROADCASTSS a, Z27 \
	VFMADD231PS Z27, Z28, z0 \
	VFMADD231PS Z27, Z29, z1 \
	VFMADD231PS Z27, Z30, z2 \
	VFMADD231PS Z27, Z31, z3

// Steps to the next column of A, for up to 5, 10 and 14 rows.
#define NEXT5 ADDQ R10, SI
#define NEXT10 NEXT5; ADDQ R10, R13
#define NEXT14 NEXT10; ADDQ R10, R15

// GROUP computes the rows of C that ROWS describes in one group of panels.
#define GROUP(ROWS, ZERO, LOAD, PANEL, FMA, STORE, NEXT, start, loop) \
	ROWS(ZERO) \
	CMPB resume+80(FP), $0 \
	JEQ  start \
	ROWS(LOAD) \
start: \
	MOVQ a+24(FP), SI \
	LEAQ (SI)(R8*4), R13 \
	ADDQ R8, R13 \
	LEAQ (R13)(R8*4), R15 \
	ADDQ R8, R15 \
loop: \
	PANEL \
	ROWS(FMA) \
	NEXT \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	LEAQ (DI)(R11*4), R13 \
	ADDQ R11, R13 \
	LEAQ (R13)(R11*4), R15 \
	ADDQ R11, R15 \
	ROWS(STORE) \
	JMP  next

#define GROUP1(ROWS, NEXT, start, loop) GROUP(ROWS, ZERO1, LOAD1, PANEL1, FMA1, STORE1, NEXT, start, loop)
#define GROUP2(ROWS, NEXT, start, loop) GROUP(ROWS, ZERO2, LOAD2, PANEL2, FMA2, STORE2, NEXT, start, loop)
#define GROUP4(ROWS, NEXT, start, loop) GROUP(ROWS, ZERO4, LOAD4, PANEL4, FMA4, STORE4, NEXT, start, loop)

// TAKE takes a group of panels off the front of those that are left: their width
// in columns, and in bytes per row of C.
#define TAKE(columns, bytes) \
	MOVQ $columns, CX \
	CMPQ R14, CX \
	CMOVQLT R14, CX \
	ADDQ $(16-columns), CX \
	MOVL $-1, R15 \
	BZHIL CX, R15, CX \
	KMOVW CX, K1 \
	SUBQ $columns, R14 \
	MOVQ R14, n+8(FP)

// func gemmStripAVX512(rows, n, k int, a *float32, ars, acs int, bp *float32, panelStep int, c *float32, ldc int, resume bool)
TEXT ·gemmStripAVX512(SB), NOSPLIT, $0-81
	MOVQ ars+32(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	MOVQ acs+40(FP), R10
	SHLQ $2, R10
	MOVQ panelStep+56(FP), AX
	SHLQ $2, AX
	LEAQ (AX)(AX*2), DX
	MOVQ ldc+72(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R12
	MOVQ n+8(FP), R14
	MOVQ bp+48(FP), BX
	MOVQ c+64(FP), DI
	JMP  group

next:
	MOVQ n+8(FP), R14
	TESTQ R14, R14
	JLE  done
	MOVQ bp+48(FP), BX
	MOVQ c+64(FP), DI

group:
	LEAQ (DI)(R11*4), R13
	ADDQ R11, R13
	MOVQ rows+0(FP), SI
	CMPQ R14, $16
	JLE  one
	CMPQ R14, $48
	JLE  two
	CMPQ SI, $7
	JLE  four

two:
	TAKE(32, 128)
	LEAQ (BX)(AX*2), CX
	MOVQ CX, bp+48(FP)
	LEAQ 128(DI), CX
	MOVQ CX, c+64(FP)
	LEAQ (R13)(R11*4), R15
	ADDQ R11, R15
	MOVQ k+16(FP), CX
	CMPQ SI, $14
	JEQ  rows14x2
	CMPQ SI, $8
	JEQ  rows8x2
	CMPQ SI, $1
	JEQ  rows1x2
	CMPQ SI, $2
	JEQ  rows2x2
	CMPQ SI, $4
	JEQ  rows4x2
	CMPQ SI, $13
	JEQ  rows13x2
	CMPQ SI, $12
	JEQ  rows12x2
	CMPQ SI, $11
	JEQ  rows11x2
	CMPQ SI, $10
	JEQ  rows10x2
	CMPQ SI, $9
	JEQ  rows9x2
	CMPQ SI, $7
	JEQ  rows7x2
	CMPQ SI, $6
	JEQ  rows6x2
	CMPQ SI, $5
	JEQ  rows5x2
rows3x2:
	GROUP2(ROWS3, NEXT5, start3x2, loop3x2)
rows1x2:
	GROUP2(ROWS1, NEXT5, start1x2, loop1x2)
rows2x2:
	GROUP2(ROWS2, NEXT5, start2x2, loop2x2)
rows4x2:
	GROUP2(ROWS4, NEXT5, start4x2, loop4x2)
rows5x2:
	GROUP2(ROWS5, NEXT5, start5x2, loop5x2)
rows6x2:
	GROUP2(ROWS6, NEXT10, start6x2, loop6x2)
rows7x2:
	GROUP2(ROWS7, NEXT10, start7x2, loop7x2)
rows8x2:
	GROUP2(ROWS8, NEXT10, start8x2, loop8x2)
rows9x2:
	GROUP2(ROWS9, NEXT10, start9x2, loop9x2)
rows10x2:
	GROUP2(ROWS10, NEXT10, start10x2, loop10x2)
rows11x2:
	GROUP2(ROWS11, NEXT14, start11x2, loop11x2)
rows12x2:
	GROUP2(ROWS12, NEXT14, start12x2, loop12x2)
rows13x2:
	GROUP2(ROWS13, NEXT14, start13x2, loop13x2)
rows14x2:
	GROUP2(ROWS14, NEXT14, start14x2, loop14x2)

one:
	TAKE(16, 64)
	LEAQ (BX)(AX*1), CX
	MOVQ CX, bp+48(FP)
	LEAQ 64(DI), CX
	MOVQ CX, c+64(FP)
	LEAQ (R13)(R11*4), R15
	ADDQ R11, R15
	MOVQ k+16(FP), CX
	CMPQ SI, $14
	JEQ  rows14x1
	CMPQ SI, $8
	JEQ  rows8x1
	CMPQ SI, $1
	JEQ  rows1x1
	CMPQ SI, $2
	JEQ  rows2x1
	CMPQ SI, $4
	JEQ  rows4x1
	CMPQ SI, $13
	JEQ  rows13x1
	CMPQ SI, $12
	JEQ  rows12x1
	CMPQ SI, $11
	JEQ  rows11x1
	CMPQ SI, $10
	JEQ  rows10x1
	CMPQ SI, $9
	JEQ  rows9x1
	CMPQ SI, $7
	JEQ  rows7x1
	CMPQ SI, $6
	JEQ  rows6x1
	CMPQ SI, $5
	JEQ  rows5x1
rows3x1:
	GROUP1(ROWS3, NEXT5, start3x1, loop3x1)
rows1x1:
	GROUP1(ROWS1, NEXT5, start1x1, loop1x1)
rows2x1:
	GROUP1(ROWS2, NEXT5, start2x1, loop2x1)
rows4x1:
	GROUP1(ROWS4, NEXT5, start4x1, loop4x1)
rows5x1:
	GROUP1(ROWS5, NEXT5, start5x1, loop5x1)
rows6x1:
	GROUP1(ROWS6, NEXT10, start6x1, loop6x1)
rows7x1:
	GROUP1(ROWS7, NEXT10, start7x1, loop7x1)
rows8x1:
	GROUP1(ROWS8, NEXT10, start8x1, loop8x1)
rows9x1:
	GROUP1(ROWS9, NEXT10, start9x1, loop9x1)
rows10x1:
	GROUP1(ROWS10, NEXT10, start10x1, loop10x1)
rows11x1:
	GROUP1(ROWS11, NEXT14, start11x1, loop11x1)
rows12x1:
	GROUP1(ROWS12, NEXT14, start12x1, loop12x1)
rows13x1:
	GROUP1(ROWS13, NEXT14, start13x1, loop13x1)
rows14x1:
	GROUP1(ROWS14, NEXT14, start14x1, loop14x1)

four:
	TAKE(64, 256)
	LEAQ (BX)(AX*4), CX
	MOVQ CX, bp+48(FP)
	LEAQ 256(DI), CX
	MOVQ CX, c+64(FP)
	MOVQ k+16(FP), CX
	CMPQ SI, $1
	JEQ  rows1x4
	CMPQ SI, $2
	JEQ  rows2x4
	CMPQ SI, $4
	JEQ  rows4x4
	CMPQ SI, $7
	JEQ  rows7x4
	CMPQ SI, $6
	JEQ  rows6x4
	CMPQ SI, $5
	JEQ  rows5x4
rows3x4:
	GROUP4(QUAD3, NEXT5, start3x4, loop3x4)
rows2x4:
	GROUP4(QUAD2, NEXT5, start2x4, loop2x4)
rows4x4:
	GROUP4(QUAD4, NEXT5, start4x4, loop4x4)
rows5x4:
	GROUP4(QUAD5, NEXT5, start5x4, loop5x4)
rows6x4:
	GROUP4(QUAD6, NEXT10, start6x4, loop6x4)
rows7x4:
	GROUP4(QUAD7, NEXT10, start7x4, loop7x4)
rows1x4:
	GROUP(QUAD1, ZERO4, LOAD4, PANEL4, FMA4ONE, STORE4, NEXT5, start1x4, loop1x4)

done:
	VZEROUPPER
	RET
