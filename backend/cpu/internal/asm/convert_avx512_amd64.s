//go:build !noasm

#include "textflag.h"
#include "convert_avx512_amd64.h"

// TAIL sets K1 to the first CX bits, CX < 32, and K2 to those from bit 16 on; it
// clobbers AX.
#define TAIL \
	MOVL $-1, AX      \
	BZHIL CX, AX, AX  \
	KMOVD AX, K1      \
	SHRL $16, AX      \
	KMOVD AX, K2

// func toBF16AVX512(dst *uint16, x *float32, n int)
TEXT ·toBF16AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	ROUNDING512
	VMOVDQU64 upperHalves<>(SB), Z27
	SUBQ $32, CX
	JLT  tail

loop:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	ROUND512(Z0, Z2)
	ROUND512(Z1, Z3)
	VPERMT2W Z3, Z27, Z2
	VMOVDQU64 Z2, (DI)
	ADDQ $128, SI
	ADDQ $64, DI
	SUBQ $32, CX
	JGE  loop

tail:
	ADDQ $32, CX
	JZ   done
	TAIL
	VMOVUPS.Z (SI), K1, Z0
	VMOVUPS.Z 64(SI), K2, Z1
	ROUND512(Z0, Z2)
	ROUND512(Z1, Z3)
	VPERMT2W Z3, Z27, Z2
	VMOVDQU16 Z2, K1, (DI)

done:
	VZEROUPPER
	RET

// func fromBF16AVX512(dst *float32, x *uint16, n int)
TEXT ·fromBF16AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	SUBQ $32, CX
	JLT  tail

loop:
	VPMOVZXWD (SI), Z0
	VPMOVZXWD 32(SI), Z1
	VPSLLD $16, Z0, Z0
	VPSLLD $16, Z1, Z1
	VMOVDQU64 Z0, (DI)
	VMOVDQU64 Z1, 64(DI)
	ADDQ $64, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JGE  loop

tail:
	ADDQ $32, CX
	JZ   done
	TAIL
	VPMOVZXWD.Z (SI), K1, Z0
	VPMOVZXWD.Z 32(SI), K2, Z1
	VPSLLD $16, Z0, Z0
	VPSLLD $16, Z1, Z1
	VMOVDQU32 Z0, K1, (DI)
	VMOVDQU32 Z1, K2, 64(DI)

done:
	VZEROUPPER
	RET
