// Products of pairs of bf16 in registers, used by the BF16 and FP8 kernels.

// DOT is VDPBF16PS Zr, Zs, Zd: to each float32 of Zd it adds the products of
// the pairs of bf16 in the same positions of Zs and Zr. The assembler does not
// know the instruction, EVEX.512.F3.0F38.W0 52 /r. EVEX holds the register
// numbers inverted except for the lower three bits of r and d.
#define DOT(d, s, r) \
	BYTE $0x62 \
	BYTE $(0x02 | (31-d)/8%2*0x80 | (31-r)/16*0x40 | (31-r)/8%2*0x20 | (31-d)/16*0x10) \
	BYTE $(0x06 | (31-s)%16*8) \
	BYTE $(0x40 | (31-s)/16*8) \
	BYTE $0x52 \
	BYTE $(0xC0 | d%8*8 | r%8)

// Tiles have up to 14 rows of two panels of C in Z0 to Z27. ROWSn(OP) applies
//
//	OP(pair of A, row of C, their registers, the numbers of these)
//
// to n rows. SI and DX point into rows 0 and 7 of A; R8, R9 and R10 are one,
// three and five times its row stride. DI and R12 point to rows 0 and 7 of C;
// R11, R13 and AX are one, three and five times its row stride. Distances are
// in bytes.

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

// PAIR multiplies a pair of A by those of two panels in Z28 and Z29.
#define PAIR(a, c, z0, z1, n0, n1) VPBROADCASTD a, Z30; DOT(n0, 30, 28); DOT(n1, 30, 29)

// TILES runs TILE(ROWSn, zeron, loopn), which returns, for n = R14. zeron and
// loopn are labels that only this TILE uses.
#define TILES(TILE) \
	CMPQ R14, $14 \
	JEQ  rows14 \
	CMPQ R14, $13 \
	JEQ  rows13 \
	CMPQ R14, $8 \
	JGT  rows9to12 \
	JEQ  rows8 \
	CMPQ R14, $4 \
	JGT  rows5to7 \
	JEQ  rows4 \
	CMPQ R14, $2 \
	JGT  rows3 \
	JEQ  rows2 \
	TILE(ROWS1, zero1, loop1) \
rows2: \
	TILE(ROWS2, zero2, loop2) \
rows3: \
	TILE(ROWS3, zero3, loop3) \
rows4: \
	TILE(ROWS4, zero4, loop4) \
rows5to7: \
	CMPQ R14, $6 \
	JGT  rows7 \
	JEQ  rows6 \
	TILE(ROWS5, zero5, loop5) \
rows6: \
	TILE(ROWS6, zero6, loop6) \
rows7: \
	TILE(ROWS7, zero7, loop7) \
rows8: \
	TILE(ROWS8, zero8, loop8) \
rows9to12: \
	CMPQ R14, $10 \
	JEQ  rows10 \
	JGT  rows11to12 \
	TILE(ROWS9, zero9, loop9) \
rows10: \
	TILE(ROWS10, zero10, loop10) \
rows11to12: \
	CMPQ R14, $12 \
	JEQ  rows12 \
	TILE(ROWS11, zero11, loop11) \
rows12: \
	TILE(ROWS12, zero12, loop12) \
rows13: \
	TILE(ROWS13, zero13, loop13) \
rows14: \
	TILE(ROWS14, zero14, loop14)

// For few rows of C, Z0 to Z15 hold up to four rows of four panels. QUADn(OP)
// applies
//
//	OP(pair of A, row of C, its registers, the numbers of these)
//
// to n rows. SI points into row 0 of A; R8 and R9 are one and three times its
// row stride. DI points to row 0 of C; R11 and R10 are one and three times its
// row stride.

#define QUAD1(OP) OP((SI), (DI), Z0, Z1, Z2, Z3, 0, 1, 2, 3)
#define QUAD2(OP) QUAD1(OP); OP((SI)(R8*1), (DI)(R11*1), Z4, Z5, Z6, Z7, 4, 5, 6, 7)
#define QUAD3(OP) QUAD2(OP); OP((SI)(R8*2), (DI)(R11*2), Z8, Z9, Z10, Z11, 8, 9, 10, 11)
#define QUAD4(OP) QUAD3(OP); OP((SI)(R9*1), (DI)(R10*1), Z12, Z13, Z14, Z15, 12, 13, 14, 15)

#define ZERO4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VPXORD z0, z0, z0; VPXORD z1, z1, z1; VPXORD z2, z2, z2; VPXORD z3, z3, z3

// PAIR4 multiplies a pair of A by those of four panels in Z16 to Z19.
#define PAIR4(a, c, z0, z1, z2, z3, n0, n1, n2, n3) \
	VPBROADCASTD a, Z20; DOT(n0, 20, 16); DOT(n1, 20, 17); DOT(n2, 20, 18); DOT(n3, 20, 19)
