// Loops for conversions of n elements, 16 at a time. DX is the index of the
// current element.

#define ARGS \
	MOVQ dst+0(FP), DI \
	MOVQ x+8(FP), SI \
	MOVQ n+16(FP), CX \
	XORL DX, DX

#define NEXT(loop) \
	ADDQ $16, DX \
	CMPQ DX, CX \
	JLT  loop \
	VZEROUPPER \
	RET
