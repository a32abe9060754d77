// LANES512 is LANES of lanes_amd64.h for steps of sixteen elements, STEP(LD,
// ST). The last, partial step loads and stores under the mask in K1. Files
// include this after textflag.h.

#define LD512FULL(p, z) VMOVUPS (p)(DX*4), z
#define ST512FULL(z, p) VMOVUPS z, (p)(DX*4)
#define LD512PART(p, z) VMOVUPS.Z (p)(DX*4), K1, z
#define ST512PART(z, p) VMOVUPS z, K1, (p)(DX*4)

// MASK512 sets K1 to the first r bits, r ≤ 16; it clobbers AX.
#define MASK512(r) MOVL $-1, AX; BZHIL r, AX, AX; KMOVW AX, K1

#define LANES512(STEP) \
	XORL DX, DX    \
	MOVQ CX, BX    \
	ANDQ $~15, BX  \
	JZ   partial   \
full:                  \
	STEP(LD512FULL, ST512FULL) \
	ADDQ $16, DX   \
	CMPQ DX, BX    \
	JLT  full      \
partial:               \
	SUBQ BX, CX    \
	JZ   finish    \
	MASK512(CX)    \
	STEP(LD512PART, ST512PART) \
finish:
