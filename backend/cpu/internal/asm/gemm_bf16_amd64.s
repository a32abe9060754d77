//go:build !noasm

#include "textflag.h"

// DOT is VDPBF16PS Zr, Zs, Zd: each float32 of Zd gains the products of the pairs
// of bf16 at its place in Zs and Zr. The assembler does not know the instruction,
// EVEX.512.F3.0F38.W0 52 /r. EVEX holds the register numbers inverted, but for
// the lower three bits of r and d.
#define DOT(d, s, r) \
	BYTE $0x62 \
	BYTE $(0x02 | (31-d)/8%2*0x80 | (31-r)/16*0x40 | (31-r)/8%2*0x20 | (31-d)/16*0x10) \
	BYTE $(0x06 | (31-s)%16*8) \
	BYTE $(0x40 | (31-s)/16*8) \
	BYTE $0x52 \
	BYTE $(0xC0 | d%8*8 | r%8)

// gemmTileDot keeps up to 14 rows of two panels of C in Z0 to Z27. For each pair
// of k it loads a row of both panels into Z28 and Z29, and broadcasts one pair of
// A per row of C into Z30. Rows are described once, by ROWSn(OP), as
//
//	OP(pair of A, row of C, their registers, the numbers of these)
//
// SI and DX walk rows 0 and 7 of A; R8, R9 and R10 are one, three and five of its
// row strides. DI and R12 are rows 0 and 7 of C; R11, R13 and AX are one, three
// and five of its row strides. BX walks the first panel, R15 leads to the second.
// K1 and K2 mask the columns of C. Distances are in bytes.

#define ROWS1(OP) OP((SI), (DI), Z0, Z1, 0, 1)
#define ROWS2(OP) ROWS1(OP); OP((SI)(R8*1), (DI)(R11*1), Z2, Z3, 2, 3)
#define ROWS3(OP) ROWS2(OP); OP((SI)(R8*2), (DI)(R11*2), Z4, Z5, 4, 5)
#define ROWS4(OP) ROWS3(OP); OP((SI)(R9*1), (DI)(R13*1), Z6, Z7, 6, 7)
#define ROWS5(OP) ROWS4(OP); OP((SI)(R8*4), (DI)(R11*4), Z8, Z9, 8, 9)
#define ROWS6(OP) ROWS5(OP); OP((SI)(R10*1), (DI)(AX*1), Z10, Z11, 10, 11)
#define ROWS7(OP) ROWS6(OP); OP((SI)(R9*2), (DI)(R13*2), Z12, Z13, 12, 13)
#define ROWS8(OP) ROWS7(OP); OP((DX), (R12), Z14, Z15, 14, 15)
#define ROWS9(OP) ROWS8(OP); OP((DX)(R8*1), (R12)(R11*1), Z16, Z17, 16, 17)
#define ROWS10(OP) ROWS9(OP); OP((DX)(R8*2), (R12)(R11*2), Z18, Z19, 18, 19)
#define ROWS11(OP) ROWS10(OP); OP((DX)(R9*1), (R12)(R13*1), Z20, Z21, 20, 21)
#define ROWS12(OP) ROWS11(OP); OP((DX)(R8*4), (R12)(R11*4), Z22, Z23, 22, 23)
#define ROWS13(OP) ROWS12(OP); OP((DX)(R10*1), (R12)(AX*1), Z24, Z25, 24, 25)
#define ROWS14(OP) ROWS13(OP); OP((DX)(R9*2), (R12)(R13*2), Z26, Z27, 26, 27)

#define ZERO(a, c, z0, z1, n0, n1) VPXORD z0, z0, z0; VPXORD z1, z1, z1
#define LOAD(a, c, z0, z1, n0, n1) VMOVUPS.Z c, K1, z0; VMOVUPS.Z 64 c, K2, z1
#define STORE(a, c, z0, z1, n0, n1) VMOVUPS z0, K1, c; VMOVUPS z1, K2, 64 c
#define PAIR(a, c, z0, z1, n0, n1) VPBROADCASTD a, Z30; DOT(n0, 30, 28); DOT(n1, 30, 29)

// TILE computes the rows of C that ROWS describes. It fetches the next two panels
// into the second-level cache, where their first use would otherwise wait for
// memory: with a single strip of rows, each panel is used once. R14 is three steps
// between panels.
#define TILE(ROWS, zero, loop) \
	LEAQ (R15)(R15*2), R14 \
	CMPB resume+72(FP), $0 \
	JEQ  zero \
	ROWS(LOAD) \
	JMP  loop \
zero: \
	ROWS(ZERO) \
loop: \
	VMOVUPS (BX), Z28 \
	VMOVUPS (BX)(R15*1), Z29 \
	PREFETCHT1 (BX)(R15*2) \
	PREFETCHT1 (BX)(R14*1) \
	ROWS(PAIR) \
	ADDQ $4, SI \
	ADDQ $4, DX \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	ROWS(STORE) \
	VZEROUPPER \
	RET

// func gemmTileDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, columns int, resume bool)
TEXT ·gemmTileDot(SB), NOSPLIT, $0-73
	MOVQ columns+64(FP), AX
	MOVL $-1, CX
	BZHIL AX, CX, CX
	KMOVW CX, K1
	SHRL $16, CX
	KMOVW CX, K2
	MOVQ rows+0(FP), R14
	MOVQ pairs+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ ars+24(FP), R8
	SHLQ $1, R8
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (SI)(R9*2), DX
	ADDQ R8, DX
	MOVQ panel+32(FP), BX
	MOVQ panelStep+40(FP), R15
	SHLQ $1, R15
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R13
	LEAQ (R11)(R11*4), AX
	LEAQ (DI)(R13*2), R12
	ADDQ R11, R12
	CMPQ R14, $14
	JEQ  rows14
	CMPQ R14, $13
	JEQ  rows13
	CMPQ R14, $8
	JGT  rows9to12
	JEQ  rows8
	CMPQ R14, $4
	JGT  rows5to7
	JEQ  rows4
	CMPQ R14, $2
	JGT  rows3
	JEQ  rows2
	TILE(ROWS1, zero1, loop1)

rows2:
	TILE(ROWS2, zero2, loop2)

rows3:
	TILE(ROWS3, zero3, loop3)

rows4:
	TILE(ROWS4, zero4, loop4)

rows5to7:
	CMPQ R14, $6
	JGT  rows7
	JEQ  rows6
	TILE(ROWS5, zero5, loop5)

rows6:
	TILE(ROWS6, zero6, loop6)

rows7:
	TILE(ROWS7, zero7, loop7)

rows8:
	TILE(ROWS8, zero8, loop8)

rows9to12:
	CMPQ R14, $10
	JEQ  rows10
	JGT  rows11to12
	TILE(ROWS9, zero9, loop9)

rows10:
	TILE(ROWS10, zero10, loop10)

rows11to12:
	CMPQ R14, $12
	JEQ  rows12
	TILE(ROWS11, zero11, loop11)

rows12:
	TILE(ROWS12, zero12, loop12)

rows13:
	TILE(ROWS13, zero13, loop13)

rows14:
	TILE(ROWS14, zero14, loop14)

// gemvDot keeps up to four rows of four panels of C in Z0 to Z15: with few rows,
// the time goes into reading B, and four streams are read faster than two. The
// rows of the panels are in Z16 to Z19. SI and DI walk rows as above; R12, R13 and
// R15 are one, two and three steps between panels.

#define QUAD1(OP) OP((SI), (DI), Z0, Z1, Z2, Z3, 0, 1, 2, 3)
#define QUAD2(OP) QUAD1(OP); OP((SI)(R8*1), (DI)(R11*1), Z4, Z5, Z6, Z7, 4, 5, 6, 7)
#define QUAD3(OP) QUAD2(OP); OP((SI)(R8*2), (DI)(R11*2), Z8, Z9, Z10, Z11, 8, 9, 10, 11)
#define QUAD4(OP) QUAD3(OP); OP((SI)(R9*1), (DI)(R10*1), Z12, Z13, Z14, Z15, 12, 13, 14, 15)

#define ZERO4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VPXORD z0, z0, z0; VPXORD z1, z1, z1; VPXORD z2, z2, z2; VPXORD z3, z3, z3
#define LOAD4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VMOVUPS c, z0; VMOVUPS 64 c, z1; VMOVUPS 128 c, z2; VMOVUPS 192 c, z3
#define STORE4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VMOVUPS z0, c; VMOVUPS z1, 64 c; VMOVUPS z2, 128 c; VMOVUPS z3, 192 c
#define PAIR4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VPBROADCASTD a, Z20; DOT(n0, 20, 16); DOT(n1, 20, 17); DOT(n2, 20, 18); DOT(n3, 20, 19)

#define GEMV(ROWS, zero, loop) \
	TESTL R14, R14 \
	JEQ  zero \
	ROWS(LOAD4) \
	JMP  loop \
zero: \
	ROWS(ZERO4) \
loop: \
	VMOVUPS (BX), Z16 \
	VMOVUPS (BX)(R12*1), Z17 \
	VMOVUPS (BX)(R13*1), Z18 \
	VMOVUPS (BX)(R15*1), Z19 \
	ROWS(PAIR4) \
	ADDQ $4, SI \
	ADDQ $64, BX \
	DECQ CX \
	JNZ  loop \
	ROWS(STORE4) \
	VZEROUPPER \
	RET

// func gemvDot(rows, pairs int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc int, resume bool)
TEXT ·gemvDot(SB), NOSPLIT, $0-65
	MOVQ rows+0(FP), AX
	MOVQ pairs+8(FP), CX
	MOVQ a+16(FP), SI
	MOVQ ars+24(FP), R8
	SHLQ $1, R8
	LEAQ (R8)(R8*2), R9
	MOVQ panel+32(FP), BX
	MOVQ panelStep+40(FP), R12
	SHLQ $1, R12
	LEAQ (R12)(R12*1), R13
	LEAQ (R12)(R12*2), R15
	MOVQ c+48(FP), DI
	MOVQ ldc+56(FP), R11
	SHLQ $2, R11
	LEAQ (R11)(R11*2), R10
	MOVBLZX resume+64(FP), R14
	CMPQ AX, $2
	JEQ  rows2
	JGT  rows3to4
	GEMV(QUAD1, zero1, loop1)

rows2:
	GEMV(QUAD2, zero2, loop2)

rows3to4:
	CMPQ AX, $4
	JEQ  rows4
	GEMV(QUAD3, zero3, loop3)

rows4:
	GEMV(QUAD4, zero4, loop4)

// func dotLoop(n int)
TEXT ·dotLoop(SB), NOSPLIT, $0-8
	MOVQ n+0(FP), CX
	VPXORD Z28, Z28, Z28
	VPXORD Z30, Z30, Z30
	ROWS8(ZERO)

loop:
	DOT(0, 30, 28); DOT(1, 30, 28); DOT(2, 30, 28); DOT(3, 30, 28)
	DOT(4, 30, 28); DOT(5, 30, 28); DOT(6, 30, 28); DOT(7, 30, 28)
	DOT(8, 30, 28); DOT(9, 30, 28); DOT(10, 30, 28); DOT(11, 30, 28)
	DOT(12, 30, 28); DOT(13, 30, 28); DOT(14, 30, 28); DOT(15, 30, 28)
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
