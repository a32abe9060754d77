// Loops over contiguous rows.
//
// DX is the index of the current element and CX the length of the row. A kernel
// defines a step, a macro STEP(LD, ST, KEEP) that processes eight elements:
// LD(p, y) loads y from the row at p, ST(y, p) stores it, and KEEP(y) clears
// the lanes beyond the end of the row. LANES runs it over the whole row. The
// last, partial step loads and stores under the mask in Y15, and does not read
// or write beyond the row. Lanes that are not loaded are zero.

#define LDFULL(p, y) VMOVUPS (p)(DX*4), y
#define STFULL(y, p) VMOVUPS y, (p)(DX*4)
#define KEEPFULL(y)
#define LDPART(p, y) VMASKMOVPS (p)(DX*4), Y15, y
#define STPART(y, p) VMASKMOVPS y, Y15, (p)(DX*4)
#define KEEPPART(y) VANDPS Y15, y, y

// MASK sets Y15 to keep the first r lanes, 0 ≤ r ≤ 8; it clobbers r and AX.
#define MASK(r) \
	LEAQ ·laneMask(SB), AX \
	NEGQ r                 \
	VMOVDQU 128(AX)(r*4), Y15

#define LANES(STEP) \
	XORL DX, DX    \
	MOVQ CX, BX    \
	ANDQ $~7, BX   \
	JZ   partial   \
full:                  \
	STEP(LDFULL, STFULL, KEEPFULL) \
	ADDQ $8, DX    \
	CMPQ DX, BX    \
	JLT  full      \
partial:               \
	SUBQ BX, CX    \
	JZ   finish    \
	MASK(CX)       \
	STEP(LDPART, STPART, KEEPPART) \
finish:

// LANES32 is LANES for reductions into four accumulators. Its step processes
// one of the four groups of eight elements in 32, at byte offset off: STEP(LD,
// off, acc). The last, partial group of 32 loads under the masks Y12 to Y15.

#define LD32FULL(p, off, y) VMOVUPS off(p)(DX*4), y
#define LD32PART0(p, off, y) VMASKMOVPS off(p)(DX*4), Y12, y
#define LD32PART1(p, off, y) VMASKMOVPS off(p)(DX*4), Y13, y
#define LD32PART2(p, off, y) VMASKMOVPS off(p)(DX*4), Y14, y
#define LD32PART3(p, off, y) VMASKMOVPS off(p)(DX*4), Y15, y

#define LANES32(STEP) \
	VXORPS Y0, Y0, Y0 \
	VXORPS Y1, Y1, Y1 \
	VXORPS Y2, Y2, Y2 \
	VXORPS Y3, Y3, Y3 \
	XORL DX, DX    \
	MOVQ CX, BX    \
	ANDQ $~31, BX  \
	JZ   partial   \
full:                  \
	STEP(LD32FULL, 0, Y0)  \
	STEP(LD32FULL, 32, Y1) \
	STEP(LD32FULL, 64, Y2) \
	STEP(LD32FULL, 96, Y3) \
	ADDQ $32, DX   \
	CMPQ DX, BX    \
	JLT  full      \
partial:               \
	SUBQ BX, CX    \
	JZ   finish    \
	LEAQ ·laneMask(SB), AX \
	NEGQ CX        \
	VMOVDQU 128(AX)(CX*4), Y12 \
	VMOVDQU 160(AX)(CX*4), Y13 \
	VMOVDQU 192(AX)(CX*4), Y14 \
	VMOVDQU 224(AX)(CX*4), Y15 \
	STEP(LD32PART0, 0, Y0)  \
	STEP(LD32PART1, 32, Y1) \
	STEP(LD32PART2, 64, Y2) \
	STEP(LD32PART3, 96, Y3) \
finish:                \
	VADDPS Y1, Y0, Y0 \
	VADDPS Y3, Y2, Y2 \
	VADDPS Y2, Y0, Y0

// SUM8 adds the lanes of Y0 to X0 as ((0+1)+(2+3)) + ((4+5)+(6+7)); it clobbers
// X1.
#define SUM8 \
	VHADDPS Y0, Y0, Y0 \
	VHADDPS Y0, Y0, Y0 \
	VEXTRACTF128 $1, Y0, X1 \
	VADDSS X1, X0, X0
