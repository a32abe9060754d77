//go:build !noasm

#include "textflag.h"

// The inner kernel keeps a strip of up to 8 rows of C in registers, for a group
// of one, two or four panels at a time (four for up to 4 rows). For each k it
// loads a row of every panel into Z28 to Z31 and multiplies them by one element
// of A per row of C, broadcast by the multiply-add itself: eight rows of two
// panels are as fast as more, for there are two loads to a multiply-add. Rows
// are described once, by ROWSn(OP), as
//
//	OP(element of A, row of C, their registers)
//
// SI and R13 walk rows 0 and 5 of A, R8 is A's row stride and R10 its column
// stride; DI and R13 are rows 0 and 5 of C outside of the loop, R11 its row
// stride; R9 and R12 are three row strides; all in bytes. K1 masks the columns of
// C in the group's last panel.

#define ROWS1(OP) OP((SI), (DI), Z0, Z1, Z2, Z3)
#define ROWS2(OP) ROWS1(OP); OP((SI)(R8*1), (DI)(R11*1), Z4, Z5, Z6, Z7)
#define ROWS3(OP) ROWS2(OP); OP((SI)(R8*2), (DI)(R11*2), Z8, Z9, Z10, Z11)
#define ROWS4(OP) ROWS3(OP); OP((SI)(R9*1), (DI)(R12*1), Z12, Z13, Z14, Z15)
#define ROWS5(OP) ROWS4(OP); OP((SI)(R8*4), (DI)(R11*4), Z16, Z17, , )
#define ROWS6(OP) ROWS5(OP); OP((R13), (R13), Z18, Z19, , )
#define ROWS7(OP) ROWS6(OP); OP((R13)(R8*1), (R13)(R11*1), Z20, Z21, , )
#define ROWS8(OP) ROWS7(OP); OP((R13)(R8*2), (R13)(R11*2), Z22, Z23, , )

#define ZERO1(a, c, z0, z1, z2, z3) VPXORD z0, z0, z0
#define ZERO2(a, c, z0, z1, z2, z3) VPXORD z0, z0, z0; VPXORD z1, z1, z1
#define ZERO4(a, c, z0, z1, z2, z3) ZERO2(a, c, z0, z1, z2, z3); VPXORD z2, z2, z2; VPXORD z3, z3, z3

#define LOAD1(a, c, z0, z1, z2, z3) VMOVUPS.Z c, K1, z0
#define LOAD2(a, c, z0, z1, z2, z3) VMOVUPS c, z0; VMOVUPS.Z 64 c, K1, z1
#define LOAD4(a, c, z0, z1, z2, z3) VMOVUPS c, z0; VMOVUPS 64 c, z1; VMOVUPS 128 c, z2; VMOVUPS.Z 192 c, K1, z3

#define STORE1(a, c, z0, z1, z2, z3) VMOVUPS z0, K1, c
#define STORE2(a, c, z0, z1, z2, z3) VMOVUPS z0, c; VMOVUPS z1, K1, 64 c
#define STORE4(a, c, z0, z1, z2, z3) VMOVUPS z0, c; VMOVUPS z1, 64 c; VMOVUPS z2, 128 c; VMOVUPS z3, K1, 192 c

#define FMA1(a, c, z0, z1, z2, z3) VFMADD231PS.BCST a, Z28, z0
#define FMA2(a, c, z0, z1, z2, z3) FMA1(a, c, z0, z1, z2, z3); VFMADD231PS.BCST a, Z29, z1
// The rows of four panels share a broadcast: a single row has no loads to spare.
#define FMA4(a, c, z0, z1, z2, z3) \
	VBROADCASTSS a, Z27 \
	VFMADD231PS Z27, Z28, z0 \
	VFMADD231PS Z27, Z29, z1 \
	VFMADD231PS Z27, Z30, z2 \
	VFMADD231PS Z27, Z31, z3

#define PANEL1 VMOVUPS (BX), Z28
#define PANEL2 PANEL1; VMOVUPS (BX)(AX*1), Z29
#define PANEL4 PANEL2; VMOVUPS (BX)(AX*2), Z30; VMOVUPS (BX)(DX*1), Z31

// Panels that come from memory with few rows to use them on are fetched 4 KiB
// ahead, beyond the page that the processor's own prefetcher stops at. Four
// panels at a time are read faster without.
#define FETCH1
#define FETCH2 PREFETCHT1 4096(BX); PREFETCHT1 4096(BX)(AX*1)
#define FETCH4

// GROUP computes the rows of C that ROWS describes in one group of panels.
#define GROUP(ROWS, ZERO, LOAD, PANEL, FETCH, FMA, STORE, start, loop) \
	ROWS(ZERO) \
	CMPB resume+80(FP), $0 \
	JEQ  start \
	ROWS(LOAD) \
start: \
	MOVQ a+24(FP), SI \
	LEAQ (SI)(R8*4), R13 \
	ADDQ R8, R13 \
loop: \
	PANEL \
	FETCH \
	ROWS(FMA) \
	ADDQ R10, SI \
	ADDQ R10, R13 \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	LEAQ (DI)(R11*4), R13 \
	ADDQ R11, R13 \
	ROWS(STORE) \
	JMP  next

#define GROUP1(ROWS, start, loop) GROUP(ROWS, ZERO1, LOAD1, PANEL1, FETCH1, FMA1, STORE1, start, loop)
#define GROUP2(ROWS, start, loop) GROUP(ROWS, ZERO2, LOAD2, PANEL2, FETCH2, FMA2, STORE2, start, loop)
#define GROUP4(ROWS, start, loop) GROUP(ROWS, ZERO4, LOAD4, PANEL4, FETCH4, FMA4, STORE4, start, loop)

// TAKE takes the next group of panels: it sets K1, CX to k and R13 to row 5 of C,
// and moves n, in R14, bp and c on.
#define TAKE(panels) \
	MOVQ $(16*panels), CX \
	CMPQ R14, CX \
	CMOVQLT R14, CX \
	SUBQ $(16*panels-16), CX \
	MOVL $-1, R13 \
	BZHIL CX, R13, CX \
	KMOVW CX, K1 \
	SUBQ $(16*panels), R14 \
	MOVQ R14, n+8(FP) \
	LEAQ (BX)(AX*panels), CX \
	MOVQ CX, bp+48(FP) \
	LEAQ (64*panels)(DI), CX \
	MOVQ CX, c+64(FP) \
	LEAQ (DI)(R11*4), R13 \
	ADDQ R11, R13 \
	MOVQ k+16(FP), CX

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

next:
	MOVQ n+8(FP), R14
	TESTQ R14, R14
	JLE  done
	MOVQ rows+0(FP), SI
	MOVQ bp+48(FP), BX
	MOVQ c+64(FP), DI
	CMPQ R14, $16
	JLE  one
	CMPQ R14, $48
	JLE  two
	CMPQ SI, $4
	JLE  four

two:
	TAKE(2)
	CMPQ SI, $8
	JEQ  rows8x2
	CMPQ SI, $7
	JEQ  rows7x2
	CMPQ SI, $6
	JEQ  rows6x2
	CMPQ SI, $5
	JEQ  rows5x2
	CMPQ SI, $4
	JEQ  rows4x2
	CMPQ SI, $3
	JEQ  rows3x2
	CMPQ SI, $2
	JEQ  rows2x2

	GROUP2(ROWS1, start1x2, loop1x2)

rows8x2:
	GROUP2(ROWS8, start8x2, loop8x2)

rows7x2:
	GROUP2(ROWS7, start7x2, loop7x2)

rows6x2:
	GROUP2(ROWS6, start6x2, loop6x2)

rows5x2:
	GROUP2(ROWS5, start5x2, loop5x2)

rows4x2:
	GROUP2(ROWS4, start4x2, loop4x2)

rows3x2:
	GROUP2(ROWS3, start3x2, loop3x2)

rows2x2:
	GROUP2(ROWS2, start2x2, loop2x2)

one:
	TAKE(1)
	CMPQ SI, $8
	JEQ  rows8x1
	CMPQ SI, $7
	JEQ  rows7x1
	CMPQ SI, $6
	JEQ  rows6x1
	CMPQ SI, $5
	JEQ  rows5x1
	CMPQ SI, $4
	JEQ  rows4x1
	CMPQ SI, $3
	JEQ  rows3x1
	CMPQ SI, $2
	JEQ  rows2x1

	GROUP1(ROWS1, start1x1, loop1x1)

rows8x1:
	GROUP1(ROWS8, start8x1, loop8x1)

rows7x1:
	GROUP1(ROWS7, start7x1, loop7x1)

rows6x1:
	GROUP1(ROWS6, start6x1, loop6x1)

rows5x1:
	GROUP1(ROWS5, start5x1, loop5x1)

rows4x1:
	GROUP1(ROWS4, start4x1, loop4x1)

rows3x1:
	GROUP1(ROWS3, start3x1, loop3x1)

rows2x1:
	GROUP1(ROWS2, start2x1, loop2x1)

four:
	TAKE(4)
	CMPQ SI, $1
	JEQ  rows1x4
	CMPQ SI, $2
	JEQ  rows2x4
	CMPQ SI, $3
	JEQ  rows3x4

	GROUP4(ROWS4, start4x4, loop4x4)

rows1x4:
	GROUP4(ROWS1, start1x4, loop1x4)

rows2x4:
	GROUP4(ROWS2, start2x4, loop2x4)

rows3x4:
	GROUP4(ROWS3, start3x4, loop3x4)

done:
	VZEROUPPER
	RET
