// LANES512 is LANES of lanes_amd64.h for steps of sixteen elements, STEP(LD,
// ST). The last, partial step loads and stores under the mask in K1.
// LANES512BF16 is LANES512 for elements in BF16, which STEP gets and gives as
// float32; it needs ROUNDING512 and clobbers Z27, K6 and K7. Files include this
// after textflag.h.

#define LD512FULL(p, z) VMOVUPS (p)(DX*4), z
#define ST512FULL(z, p) VMOVUPS z, (p)(DX*4)
#define LD512PART(p, z) VMOVUPS.Z (p)(DX*4), K1, z
#define ST512PART(z, p) VMOVUPS z, K1, (p)(DX*4)

#define LDBF16FULL(p, z) VPMOVZXWD (p)(DX*2), z; VPSLLD $16, z, z
#define STBF16FULL(z, p) ROUND512(z, Z27); VPSRLD $16, Z27, Z27; VPMOVDW Z27, (p)(DX*2)
#define LDBF16PART(p, z) VPMOVZXWD.Z (p)(DX*2), K1, z; VPSLLD $16, z, z
#define STBF16PART(z, p) ROUND512(z, Z27); VPSRLD $16, Z27, Z27; VPMOVDW Z27, K1, (p)(DX*2)

// MASK512 sets K1 to the first r bits, r ≤ 16; it clobbers AX.
#define MASK512(r) MOVL $-1, AX; BZHIL r, AX, AX; KMOVW AX, K1

#define LANES512(STEP) LANES512OF(STEP, LD512FULL, ST512FULL, LD512PART, ST512PART)
#define LANES512BF16(STEP) LANES512OF(STEP, LDBF16FULL, STBF16FULL, LDBF16PART, STBF16PART)

#define LANES512OF(STEP, LDFULL, STFULL, LDPART, STPART) \
	XORL DX, DX    \
	MOVQ CX, BX    \
	ANDQ $~15, BX  \
	JZ   partial   \
full:                  \
	STEP(LDFULL, STFULL) \
	ADDQ $16, DX   \
	CMPQ DX, BX    \
	JLT  full      \
partial:               \
	SUBQ BX, CX    \
	JZ   finish    \
	MASK512(CX)    \
	STEP(LDPART, STPART) \
finish:
