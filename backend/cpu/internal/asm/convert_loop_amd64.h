// The conversions take 16 elements at a time, n in all; DX counts them.

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
