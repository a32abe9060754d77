//go:build !noasm

#include "textflag.h"

// The inner kernel keeps a tile of C in registers: up to 14 rows of one or two
// panels of columns, or up to 4 rows of four panels. For each k it loads a row
// of every panel and, for each row of C, broadcasts one element of A to a
// register that all panels use: 16 loads for the 28 multiply-adds of a whole
// tile. Multiply-adds with a broadcast memory operand would need twice as many
// loads, which is too slow on a processor with as many ports for multiply-adds
// as for loads. ROWSn(OP) applies
//
//	OP(element of A, row of C, their registers)
//
// to n rows. SI, R13 and R15 point into rows 0, 5 and 10 of A, R8 is A's row
// stride, R9 three times that and R10 its column stride. Outside of the loop
// DI, R13 and R15 point to rows 0, 5 and 10 of C, R11 is its row stride and R12
// three times that; all in bytes. Inside the loop, R14 is the address to
// prefetch, R12 its step and DX the distance to a second one. K1 masks the
// columns of C in the last panel.

#define ROWS1(OP) OP((SI), (DI), Z0, Z1, Z2, Z3)
#define ROWS2(OP) ROWS1(OP); OP((SI)(R8*1), (DI)(R11*1), Z4, Z5, Z6, Z7)
#define ROWS3(OP) ROWS2(OP); OP((SI)(R8*2), (DI)(R11*2), Z8, Z9, Z10, Z11)
#define ROWS4(OP) ROWS3(OP); OP((SI)(R9*1), (DI)(R12*1), Z12, Z13, Z14, Z15)
#define ROWS5(OP) ROWS4(OP); OP((SI)(R8*4), (DI)(R11*4), Z16, Z17, , )
#define ROWS6(OP) ROWS5(OP); OP((R13), (R13), Z18, Z19, , )
#define ROWS7(OP) ROWS6(OP); OP((R13)(R8*1), (R13)(R11*1), Z20, Z21, , )
#define ROWS8(OP) ROWS7(OP); OP((R13)(R8*2), (R13)(R11*2), Z22, Z23, , )
#define ROWS9(OP) ROWS8(OP); OP((R13)(R9*1), (R13)(R12*1), Z2, Z3, , )
#define ROWS10(OP) ROWS9(OP); OP((R13)(R8*4), (R13)(R11*4), Z6, Z7, , )
#define ROWS11(OP) ROWS10(OP); OP((R15), (R15), Z10, Z11, , )
#define ROWS12(OP) ROWS11(OP); OP((R15)(R8*1), (R15)(R11*1), Z14, Z15, , )
#define ROWS13(OP) ROWS12(OP); OP((R15)(R8*2), (R15)(R11*2), Z24, Z25, , )
#define ROWS14(OP) ROWS13(OP); OP((R15)(R9*1), (R15)(R12*1), Z26, Z27, , )

#define ZERO1(a, c, z0, z1, z2, z3) VPXORD z0, z0, z0
#define ZERO2(a, c, z0, z1, z2, z3) VPXORD z0, z0, z0; VPXORD z1, z1, z1
#define ZERO4(a, c, z0, z1, z2, z3) ZERO2(a, c, z0, z1, z2, z3); VPXORD z2, z2, z2; VPXORD z3, z3, z3

#define LOAD1(a, c, z0, z1, z2, z3) VMOVUPS.Z c, K1, z0
#define LOAD2(a, c, z0, z1, z2, z3) VMOVUPS c, z0; VMOVUPS.Z 64 c, K1, z1
#define LOAD4(a, c, z0, z1, z2, z3) VMOVUPS c, z0; VMOVUPS 64 c, z1; VMOVUPS 128 c, z2; VMOVUPS.Z 192 c, K1, z3

#define NEXT1(a, c, z0, z1, z2, z3) PREFETCHT0 c
#define NEXT2(a, c, z0, z1, z2, z3) NEXT1(a, c, z0, z1, z2, z3); PREFETCHT0 64 c
#define NEXT4(a, c, z0, z1, z2, z3)

#define STORE1(a, c, z0, z1, z2, z3) VMOVUPS z0, K1, c
#define STORE2(a, c, z0, z1, z2, z3) VMOVUPS z0, c; VMOVUPS z1, K1, 64 c
#define STORE4(a, c, z0, z1, z2, z3) VMOVUPS z0, c; VMOVUPS z1, 64 c; VMOVUPS z2, 128 c; VMOVUPS z3, K1, 192 c

#define FMA1(a, c, z0, z1, z2, z3) VFMADD231PS.BCST a, Z28, z0
#define FMA2(a, c, z0, z1, z2, z3) \
	VBROADCASTSS a, Z30 \
	VFMADD231PS Z30, Z28, z0 \
	VFMADD231PS Z30, Z29, z1
#define FMA4(a, c, z0, z1, z2, z3) \
	VBROADCASTSS a, Z27 \
	VFMADD231PS Z27, Z28, z0 \
	VFMADD231PS Z27, Z29, z1 \
	VFMADD231PS Z27, Z30, z2 \
	VFMADD231PS Z27, Z31, z3

#define PANEL1 VMOVUPS (BX), Z28
#define PANEL2 PANEL1; VMOVUPS (BX)(AX*1), Z29
#define PANEL4 PANEL2; VMOVUPS (BX)(AX*2), Z30; VMOVUPS (BX)(DX*1), Z31

// FETCH prefetches A, or its first row if A is not packed, into the first-level
// cache, a little ahead, and the two regions to fetch into the second-level
// cache, spread over all strips.
#define FETCH1
#define FETCH2 PREFETCHT0 1024(SI); PREFETCHT1 (R14); PREFETCHT1 (R14)(DX*1); ADDQ R12, R14
#define FETCH4

// FIVES sets R13 and R15 to rows 5 and 10 of the matrix at row, stride apart.
#define FIVES(row, stride) \
	LEAQ (row)(stride*4), R13 \
	ADDQ stride, R13 \
	LEAQ (R13)(stride*4), R15 \
	ADDQ stride, R15

// TILE computes the rows of C that ROWS describes. NEXT prefetches the next
// strip's rows of C, fetchOffset bytes after these.
#define TILE(ROWS, ZERO, LOAD, NEXT, PANEL, FETCH, FMA, STORE, start, loop) \
	ROWS(ZERO) \
	CMPB resume+128(FP), $0 \
	JEQ  start \
	FIVES(DI, R11) \
	ROWS(LOAD) \
start: \
	ADDQ fetchOffset+104(FP), DI \
	FIVES(DI, R11) \
	ROWS(NEXT) \
	SUBQ fetchOffset+104(FP), DI \
	FIVES(SI, R8) \
	MOVQ fetchStep+120(FP), R12 \
	PCALIGN $64 \
loop: \
	PANEL \
	FETCH \
	ROWS(FMA) \
	ADDQ R10, SI \
	ADDQ R10, R13 \
	ADDQ R10, R15 \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	LEAQ (R11)(R11*2), R12 \
	FIVES(DI, R11) \
	ROWS(STORE) \
	JMP  next

#define TILE1(ROWS, start, loop) TILE(ROWS, ZERO1, LOAD1, NEXT1, PANEL1, FETCH1, FMA1, STORE1, start, loop)
#define TILE2(ROWS, start, loop) TILE(ROWS, ZERO2, LOAD2, NEXT2, PANEL2, FETCH2, FMA2, STORE2, start, loop)
#define TILE4(ROWS, start, loop) TILE(ROWS, ZERO4, LOAD4, NEXT4, PANEL4, FETCH4, FMA4, STORE4, start, loop)

// func gemmColumnsAVX512(m, rows, n, k int, a *float32, ars, acs, astep int, bp *float32, panelStep int,
//	c *float32, ldc int, fetch *float32, fetchOffset, fetchApart, fetchStep int, resume bool)
TEXT ·gemmColumnsAVX512(SB), NOSPLIT, $0-129
	MOVQ n+16(FP), CX
	DECQ CX
	ANDQ $15, CX
	INCQ CX
	MOVL $-1, DX
	BZHIL CX, DX, DX
	KMOVW DX, K1
	MOVQ ars+40(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	MOVQ acs+48(FP), R10
	SHLQ $2, R10
	MOVQ panelStep+72(FP), AX
	SHLQ $2, AX
	LEAQ (AX)(AX*2), DX
	MOVQ ldc+88(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R12
	MOVQ rows+8(FP), CX
	IMULQ R11, CX
	MOVQ CX, ldc+88(FP) // from here on the distance between strips of C
	SHLQ $2, astep+56(FP)
	MOVQ bp+64(FP), BX
	MOVQ fetch+96(FP), R14
	MOVQ fetchOffset+104(FP), R13
	LEAQ (R14)(R13*4), R14
	CMPQ n+16(FP), $32
	JG   apart
	MOVQ fetchApart+112(FP), DX
	SHLQ $2, DX
apart:
	MOVQ c+80(FP), DI
	JMP  strip

next:
	ADDQ ldc+88(FP), DI
	MOVQ astep+56(FP), SI
	ADDQ SI, a+32(FP)
	MOVQ rows+8(FP), CX
	SUBQ CX, m+0(FP)
	JLE  done

strip:
	MOVQ m+0(FP), R13
	XORL SI, SI
	CMPQ R13, rows+8(FP)
	CMOVQGT ldc+88(FP), SI
	MOVQ SI, fetchOffset+104(FP) // from here on the distance to the next strip of C, if there is one
	CMOVQGT rows+8(FP), R13
	MOVQ a+32(FP), SI
	MOVQ bp+64(FP), BX
	MOVQ k+24(FP), CX
	CMPQ n+16(FP), $16
	JLE  one
	CMPQ n+16(FP), $32
	JG   four

	CMPQ R13, $14
	JEQ  rows14x2
	CMPQ R13, $13
	JEQ  rows13x2
	CMPQ R13, $12
	JEQ  rows12x2
	CMPQ R13, $11
	JEQ  rows11x2
	CMPQ R13, $10
	JEQ  rows10x2
	CMPQ R13, $9
	JEQ  rows9x2
	CMPQ R13, $8
	JEQ  rows8x2
	CMPQ R13, $7
	JEQ  rows7x2
	CMPQ R13, $6
	JEQ  rows6x2
	CMPQ R13, $5
	JEQ  rows5x2
	CMPQ R13, $4
	JEQ  rows4x2
	CMPQ R13, $3
	JEQ  rows3x2
	CMPQ R13, $2
	JEQ  rows2x2

	TILE2(ROWS1, start1x2, loop1x2)

rows14x2:
	TILE2(ROWS14, start14x2, loop14x2)

rows13x2:
	TILE2(ROWS13, start13x2, loop13x2)

rows12x2:
	TILE2(ROWS12, start12x2, loop12x2)

rows11x2:
	TILE2(ROWS11, start11x2, loop11x2)

rows10x2:
	TILE2(ROWS10, start10x2, loop10x2)

rows9x2:
	TILE2(ROWS9, start9x2, loop9x2)

rows8x2:
	TILE2(ROWS8, start8x2, loop8x2)

rows7x2:
	TILE2(ROWS7, start7x2, loop7x2)

rows6x2:
	TILE2(ROWS6, start6x2, loop6x2)

rows5x2:
	TILE2(ROWS5, start5x2, loop5x2)

rows4x2:
	TILE2(ROWS4, start4x2, loop4x2)

rows3x2:
	TILE2(ROWS3, start3x2, loop3x2)

rows2x2:
	TILE2(ROWS2, start2x2, loop2x2)

one:
	CMPQ R13, $14
	JEQ  rows14x1
	CMPQ R13, $13
	JEQ  rows13x1
	CMPQ R13, $12
	JEQ  rows12x1
	CMPQ R13, $11
	JEQ  rows11x1
	CMPQ R13, $10
	JEQ  rows10x1
	CMPQ R13, $9
	JEQ  rows9x1
	CMPQ R13, $8
	JEQ  rows8x1
	CMPQ R13, $7
	JEQ  rows7x1
	CMPQ R13, $6
	JEQ  rows6x1
	CMPQ R13, $5
	JEQ  rows5x1
	CMPQ R13, $4
	JEQ  rows4x1
	CMPQ R13, $3
	JEQ  rows3x1
	CMPQ R13, $2
	JEQ  rows2x1

	TILE1(ROWS1, start1x1, loop1x1)

rows14x1:
	TILE1(ROWS14, start14x1, loop14x1)

rows13x1:
	TILE1(ROWS13, start13x1, loop13x1)

rows12x1:
	TILE1(ROWS12, start12x1, loop12x1)

rows11x1:
	TILE1(ROWS11, start11x1, loop11x1)

rows10x1:
	TILE1(ROWS10, start10x1, loop10x1)

rows9x1:
	TILE1(ROWS9, start9x1, loop9x1)

rows8x1:
	TILE1(ROWS8, start8x1, loop8x1)

rows7x1:
	TILE1(ROWS7, start7x1, loop7x1)

rows6x1:
	TILE1(ROWS6, start6x1, loop6x1)

rows5x1:
	TILE1(ROWS5, start5x1, loop5x1)

rows4x1:
	TILE1(ROWS4, start4x1, loop4x1)

rows3x1:
	TILE1(ROWS3, start3x1, loop3x1)

rows2x1:
	TILE1(ROWS2, start2x1, loop2x1)

four:
	CMPQ R13, $4
	JEQ  rows4x4
	CMPQ R13, $3
	JEQ  rows3x4
	CMPQ R13, $2
	JEQ  rows2x4

	TILE4(ROWS1, start1x4, loop1x4)

rows4x4:
	TILE4(ROWS4, start4x4, loop4x4)

rows3x4:
	TILE4(ROWS3, start3x4, loop3x4)

rows2x4:
	TILE4(ROWS2, start2x4, loop2x4)

done:
	VZEROUPPER
	RET
