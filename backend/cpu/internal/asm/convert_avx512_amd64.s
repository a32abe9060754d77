//go:build !noasm

#include "textflag.h"
#include "convert_avx512_amd64.h"

// TAIL sets K1 to the first CX bits, CX < 32, and K2 to the same bits from bit
// 16 on; it clobbers AX.
#define TAIL \
	MOVL $-1, AX      \
	BZHIL CX, AX, AX  \
	KMOVD AX, K1      \
	SHRL $16, AX      \
	KMOVD AX, K2

// PREFETCHW_R12_DX2 is PREFETCHW (R12)(DX*2), which the assembler lacks.
#define PREFETCHW_R12_DX2 BYTE $0x41; BYTE $0x0F; BYTE $0x0D; BYTE $0x0C; BYTE $0x54

// func toBF16RowsAVX512(dst *uint16, dstStride int, x *float32, stride, rows, d int)
TEXT ·toBF16RowsAVX512(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ dstStride+8(FP), R8
	MOVQ x+16(FP), SI
	MOVQ stride+24(FP), R9
	MOVQ rows+32(FP), R10
	MOVQ d+40(FP), CX
	SHLQ $1, R8
	SHLQ $2, R9
	MOVQ CX, R11
	ANDQ $~31, R11
	ANDQ $31, CX
	TAIL
	ROUNDING512
	VMOVDQU64 upperHalves<>(SB), Z27

row:
	LEAQ (DI)(R8*1), R12
	XORL DX, DX
	TESTQ R11, R11
	JZ   tail

loop:
	PREFETCHW_R12_DX2
	VMOVUPS (SI)(DX*4), Z0
	VMOVUPS 64(SI)(DX*4), Z1
	ROUND512(Z0, Z2)
	ROUND512(Z1, Z3)
	VPERMT2W Z3, Z27, Z2
	VMOVDQU64 Z2, (DI)(DX*2)
	ADDQ $32, DX
	CMPQ DX, R11
	JLT  loop

tail:
	TESTQ CX, CX
	JZ   next
	VMOVUPS.Z (SI)(DX*4), K1, Z0
	VMOVUPS.Z 64(SI)(DX*4), K2, Z1
	ROUND512(Z0, Z2)
	ROUND512(Z1, Z3)
	VPERMT2W Z3, Z27, Z2
	VMOVDQU16 Z2, K1, (DI)(DX*2)

next:
	ADDQ R9, SI
	MOVQ R12, DI
	DECQ R10
	JNZ  row
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
