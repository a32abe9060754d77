// Loops over contiguous rows.
//
// R9 is the byte offset of the current element and R5 the number of elements
// left. A kernel defines a step, a macro STEP(LD, ST, KEEP) that processes four
// elements: LD(p, v) loads v from the row at p, ST(v, p) stores it, and KEEP(v)
// clears the lanes beyond the end of the row. LANES runs it over the whole row.
// The last, partial step loads zeros into the lanes beyond the end, and does
// not read or write memory there. The loop clobbers R9 to R12 and V31.

#define LDFULL(p, v) ADD R9, p, R10; VLD1 (R10), [v.S4]
#define STFULL(v, p) ADD R9, p, R10; VST1 [v.S4], (R10)
#define KEEPFULL(v)

// A partial vector has r = 1, 2 or 3 elements, the second and the third at the
// offsets R11 and R12. If there is no second or third element, its offset is
// that of the last one: reading that twice does no harm, and since lanes are
// stored from the third to the first, each element gets its own value. V31
// masks the r lanes.

#define PARTIAL(r) \
	SUB  $1, r, R12           \
	ADD  R12<<2, R9, R12      \
	CMP  $1, r                \
	CSET NE, R11              \
	ADD  R11<<2, R9, R11      \
	MOVD $·laneMask(SB), R10  \
	SUB  r<<2, R10, R10       \
	ADD  $16, R10             \
	VLD1 (R10), [V31.S4]

#define LDPART(p, v) \
	ADD R9, p, R10; VLD1 (R10), v.S[0]    \
	ADD R11, p, R10; VLD1 (R10), v.S[1]   \
	ADD R12, p, R10; VLD1 (R10), v.S[2]   \
	VAND V31.B16, v.B16, v.B16
#define STPART(v, p) \
	ADD R12, p, R10; VST1 v.S[2], (R10)   \
	ADD R11, p, R10; VST1 v.S[1], (R10)   \
	ADD R9, p, R10; VST1 v.S[0], (R10)
#define KEEPPART(v) VAND V31.B16, v.B16, v.B16

#define LANES(STEP) \
	MOVD $0, R9       \
	SUBS $4, R5, R5   \
	BLT  partial      \
full:                     \
	STEP(LDFULL, STFULL, KEEPFULL) \
	ADD  $16, R9      \
	SUBS $4, R5, R5   \
	BGE  full         \
partial:                  \
	ADDS $4, R5, R5   \
	BEQ  finish       \
	PARTIAL(R5)       \
	STEP(LDPART, STPART, KEEPPART) \
finish:

// SUM8 adds the lanes of V0 and V1 to F0 as ((0+1)+(2+3)) + ((4+5)+(6+7)).
#define SUM8 \
	FADDP4(1, 0, 0) \
	FADDP4(0, 0, 0) \
	FADDP4(0, 0, 0)
