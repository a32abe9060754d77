// The product with block-scaled weights, used by Q8, Q4 and Q4_1.
//
// The kernel keeps up to 6 rows × 32 columns of C, two panels, in Z0 to Z11,
// and the integer sums of a block in Z12 to Z23. ROWSn(OP, off) applies
//
//	OP(byte off of the row's block of A, both halves of the row of C,
//	   their registers, the registers of their sums)
//
// to n rows. SI and R9 point into rows 0 and 3 of A, R8 apart; DI and R12 point
// to rows 0 and 3 of C, R11 apart; BX and BX+DX point into the panels. K1 and
// K2 mask the columns of C. R10 is free for use by the format.

#define ROWS1(OP, off) OP(off(SI), (DI), 64(DI), Z0, Z1, Z12, Z13)
#define ROWS2(OP, off) ROWS1(OP, off); OP(off(SI)(R8*1), (DI)(R11*1), 64(DI)(R11*1), Z2, Z3, Z14, Z15)
#define ROWS3(OP, off) ROWS2(OP, off); OP(off(SI)(R8*2), (DI)(R11*2), 64(DI)(R11*2), Z4, Z5, Z16, Z17)
#define ROWS4(OP, off) ROWS3(OP, off); OP(off(R9), (R12), 64(R12), Z6, Z7, Z18, Z19)
#define ROWS5(OP, off) ROWS4(OP, off); OP(off(R9)(R8*1), (R12)(R11*1), 64(R12)(R11*1), Z8, Z9, Z20, Z21)
#define ROWS6(OP, off) ROWS5(OP, off); OP(off(R9)(R8*2), (R12)(R11*2), 64(R12)(R11*2), Z10, Z11, Z22, Z23)

#define ZERO(a, c0, c1, f0, f1, s0, s1)  VPXORD f0, f0, f0; VPXORD f1, f1, f1
#define LOAD(a, c0, c1, f0, f1, s0, s1)  VMOVUPS.Z c0, K1, f0; VMOVUPS.Z c1, K2, f1
#define STORE(a, c0, c1, f0, f1, s0, s1) VMOVUPS f0, K1, c0; VMOVUPS f1, K2, c1

// DOT multiplies four activations by 4×16 unsigned weights of each panel, in
// Z24 and Z25.
#define DOT(a, c0, c1, f0, f1, s0, s1) \
	VPDPBUSD.BCST a, Z24, s0  \
	VPDPBUSD.BCST a, Z25, s1

// SCALE multiplies the sums of a block by their scales and adds them to C. Z24
// and Z25 hold the scales of the columns, Z28 zeros.
#define SCALE(a, c0, c1, f0, f1, s0, s1) \
	VCVTDQ2PS s0, s0              \
	VCVTDQ2PS s1, s1              \
	VFMADD213PS Z28, Z24, s0      \
	VFMADD213PS Z28, Z25, s1      \
	VFMADD231PS.BCST a, s0, f0    \
	VFMADD231PS.BCST a, s1, f1

#define SCALES(ROWS) \
	VCVTPH2PS (BX), Z24        \
	VCVTPH2PS (BX)(DX*1), Z25  \
	ROWS(SCALE, 32)

// STRIP computes the rows of C that ROWS describes. START(ROWS) sets the sums
// of a block to values that cancel the offset of the weights, DOTS(ROWS) adds
// the products, END(ROWS) adds the sums to C, for example by SCALE, and size is
// the size of a panel's block in bytes.
#define STRIP(ROWS, START, DOTS, END, size, loop) \
	ROWS(ZERO, 0)              \
	CMPB resume+68(FP), $0     \
	JEQ  loop                  \
	ROWS(LOAD, 0)              \
loop:                              \
	START(ROWS)                \
	DOTS(ROWS)                 \
	END(ROWS)                  \
	ADDQ $40, SI               \
	ADDQ $40, R9               \
	ADDQ $size, BX             \
	DECQ CX                    \
	JNZ  loop                  \
	ROWS(STORE, 0)

// GEMMQUANT is the body of
//
//	func(m, blocks int, rows *byte, rowStep int, panel *byte, panelStep int,
//	     c *float32, ldc int, mask uint32, resume bool)
//
// with the arguments at 0, 8, …, 56, 64 and 68. Seven or eight remaining rows
// are computed as 4+3 or 4+4.
#define GEMMQUANT(START, DOTS, END, size) \
	MOVQ m+0(FP), R13          \
	MOVQ rows+16(FP), AX       \
	MOVQ rowStep+24(FP), R8    \
	MOVQ panelStep+40(FP), DX  \
	MOVQ c+48(FP), DI          \
	MOVQ ldc+56(FP), R11       \
	SHLQ $2, R11               \
	MOVL mask+64(FP), CX       \
	KMOVW CX, K1               \
	SHRL $16, CX               \
	KMOVW CX, K2               \
	VPXORD Z28, Z28, Z28       \
strip:                             \
	MOVQ blocks+8(FP), CX      \
	MOVQ panel+32(FP), BX      \
	MOVQ AX, SI                \
	LEAQ (R8)(R8*2), R9        \
	ADDQ SI, R9                \
	LEAQ (R11)(R11*2), R12     \
	ADDQ DI, R12               \
	CMPQ R13, $6               \
	JLT  short                 \
	JEQ  rows6                 \
	CMPQ R13, $9               \
	JLT  rows4                 \
rows6:                             \
	STRIP(ROWS6, START, DOTS, END, size, loop6) \
	LEAQ (AX)(R8*4), AX        \
	LEAQ (AX)(R8*2), AX        \
	LEAQ (R12)(R11*2), DI      \
	ADDQ R11, DI               \
	SUBQ $6, R13               \
	JNZ  strip                 \
	JMP  done                  \
short:                             \
	CMPQ R13, $4               \
	JGT  rows5                 \
	JEQ  rows4                 \
	CMPQ R13, $2               \
	JGT  rows3                 \
	JEQ  rows2                 \
	STRIP(ROWS1, START, DOTS, END, size, loop1) \
	JMP  done                  \
rows2:                             \
	STRIP(ROWS2, START, DOTS, END, size, loop2) \
	JMP  done                  \
rows3:                             \
	STRIP(ROWS3, START, DOTS, END, size, loop3) \
	JMP  done                  \
rows4:                             \
	STRIP(ROWS4, START, DOTS, END, size, loop4) \
	LEAQ (AX)(R8*4), AX        \
	LEAQ (DI)(R11*4), DI       \
	SUBQ $4, R13               \
	JNZ  strip                 \
	JMP  done                  \
rows5:                             \
	STRIP(ROWS5, START, DOTS, END, size, loop5) \
done:                              \
	VZEROUPPER                 \
	RET

// For few rows of C, the time goes into reading B, which is fastest in
// ascending order: one panel after the other. GEMVn(OP, off) applies
//
//	OP(byte off of the row's block of A, the row of C, its register,
//	   the register of its sums)
//
// to n rows. SI points into row 0 of A; R8 and R9 are one and three times its
// row step. DI points to row 0 of C; R11 and R12 are one and three times its
// row stride. BX points into the panel, of whose columns K1 masks those of C.

#define GEMV1(OP, off) OP(off(SI), (DI), Z0, Z12)
#define GEMV2(OP, off) GEMV1(OP, off); OP(off(SI)(R8*1), (DI)(R11*1), Z1, Z13)
#define GEMV3(OP, off) GEMV2(OP, off); OP(off(SI)(R8*2), (DI)(R11*2), Z2, Z14)
#define GEMV4(OP, off) GEMV3(OP, off); OP(off(SI)(R9*1), (DI)(R12*1), Z3, Z15)

#define GEMVZERO(a, c, f, s)  VPXORD f, f, f
#define GEMVLOAD(a, c, f, s)  VMOVUPS.Z c, K1, f
#define GEMVSTORE(a, c, f, s) VMOVUPS f, K1, c
#define GEMVDOT(a, c, f, s)   VPDPBUSD.BCST a, Z24, s

#define GEMVSCALE(a, c, f, s) \
	VCVTDQ2PS s, s             \
	VFMADD213PS Z28, Z24, s    \
	VFMADD231PS.BCST a, s, f

#define GEMVSCALES(ROWS) \
	VCVTPH2PS (BX), Z24        \
	ROWS(GEMVSCALE, 32)

// GEMVPANEL computes the rows of C that ROWS describes, in one panel.
#define GEMVPANEL(ROWS, START, DOTS, END, size, loop) \
	ROWS(GEMVZERO, 0)          \
	CMPB resume+64(FP), $0     \
	JEQ  loop                  \
	ROWS(GEMVLOAD, 0)          \
loop:                              \
	ROWS(START, 36)            \
	DOTS(ROWS)                 \
	END(ROWS)                  \
	ADDQ $40, SI               \
	ADDQ $size, BX             \
	DECQ CX                    \
	JNZ  loop                  \
	ROWS(GEMVSTORE, 0)         \
	JMP  next

// GEMVQUANT is the body of
//
//	func(m, blocks int, rows *byte, rowStep int, panel *byte, n int,
//	     c *float32, ldc int, resume bool)
//
// with the arguments at 0, 8, …, 56 and 64, for 1 to 4 rows and n > 0 columns.
#define GEMVQUANT(START, DOTS, END, size) \
	MOVQ m+0(FP), R13          \
	MOVQ rowStep+24(FP), R8    \
	LEAQ (R8)(R8*2), R9        \
	MOVQ panel+32(FP), BX      \
	MOVQ n+40(FP), AX          \
	MOVQ c+48(FP), DI          \
	MOVQ ldc+56(FP), R11       \
	SHLQ $2, R11               \
	LEAQ (R11)(R11*2), R12     \
	MOVL $0xFFFF, DX           \
	VPXORD Z28, Z28, Z28       \
	JMP  panel                 \
next:                              \
	ADDQ $64, DI               \
	SUBQ $16, AX               \
	JLE  done                  \
panel:                             \
	CMPQ AX, $16               \
	JGE  whole                 \
	BZHIL AX, DX, DX           \
whole:                             \
	KMOVW DX, K1               \
	MOVQ rows+16(FP), SI       \
	MOVQ blocks+8(FP), CX      \
	CMPQ R13, $2               \
	JGT  rows3to4              \
	JEQ  rows2                 \
	GEMVPANEL(GEMV1, START, DOTS, END, size, loop1) \
rows2:                             \
	GEMVPANEL(GEMV2, START, DOTS, END, size, loop2) \
rows3to4:                          \
	CMPQ R13, $4               \
	JEQ  rows4                 \
	GEMVPANEL(GEMV3, START, DOTS, END, size, loop3) \
rows4:                             \
	GEMVPANEL(GEMV4, START, DOTS, END, size, loop4) \
done:                              \
	VZEROUPPER                 \
	RET
