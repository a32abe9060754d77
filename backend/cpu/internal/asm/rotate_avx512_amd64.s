//go:build !noasm

#include "textflag.h"
#include "lanes_avx512_amd64.h"

// doubled are the indices of eight dwords, each twice.
DATA doubled<>+0(SB)/8, $0x0000000000000000
DATA doubled<>+8(SB)/8, $0x0000000100000001
DATA doubled<>+16(SB)/8, $0x0000000200000002
DATA doubled<>+24(SB)/8, $0x0000000300000003
DATA doubled<>+32(SB)/8, $0x0000000400000004
DATA doubled<>+40(SB)/8, $0x0000000500000005
DATA doubled<>+48(SB)/8, $0x0000000600000006
DATA doubled<>+56(SB)/8, $0x0000000700000007
GLOBL doubled<>(SB), RODATA|NOPTR, $64

DATA firstSign<>+0(SB)/8, $0x0000000080000000
GLOBL firstSign<>(SB), RODATA|NOPTR, $8

// HALVES rotates elements DX to DX+16 of the first half of each row at R11 with
// those of the second half, R9 bytes later, and writes them to the row at R12.
#define HALVES(rows, LD, ST) \
	LD(R10, Z8)            \
	LD(R8, Z9)             \
	VMULPS Z10, Z9, Z9     \
	MOVQ SI, R11           \
	MOVQ DI, R12           \
	MOVQ CX, BX            \
rows:                          \
	LEAQ (R11)(R9*1), R13  \
	LD(R11, Z0)            \
	LD(R13, Z1)            \
	VMULPS Z8, Z0, Z2      \
	VMULPS Z9, Z1, Z3      \
	VSUBPS Z3, Z2, Z2      \
	VMULPS Z9, Z0, Z4      \
	VMULPS Z8, Z1, Z5      \
	VADDPS Z5, Z4, Z4      \
	LEAQ (R12)(R9*1), R13  \
	ST(Z2, R12)            \
	ST(Z4, R13)            \
	LEAQ (R11)(R9*2), R11  \
	LEAQ (R12)(R9*2), R12  \
	DECQ BX                \
	JNZ  rows

// func rotateHalvesAVX512(dst, x *float32, rows int, cos, sin *float32, half int, sign float32)
TEXT ·rotateHalvesAVX512(SB), NOSPLIT, $0-52
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ rows+16(FP), CX
	MOVQ cos+24(FP), R10
	MOVQ sin+32(FP), R8
	MOVQ half+40(FP), R9
	VBROADCASTSS sign+48(FP), Z10
	MOVQ R9, R15
	SHLQ $2, R9
	XORL DX, DX
	SUBQ $16, R15
	JLT  partial

full:
	HALVES(wholeRows, LD512FULL, ST512FULL)
	ADDQ $16, DX
	SUBQ $16, R15
	JGE  full

partial:
	ADDQ $16, R15
	JZ   finish
	MASK512(R15)
	HALVES(partRows, LD512PART, ST512PART)

finish:
	VZEROUPPER
	RET

// PAIRS rotates elements DX to DX+16 of each row at R11 and writes them to the
// row at R12; rows are R9 bytes apart. K2 masks the cosines, one for each pair.
#define PAIRS(rows, LD, ST) \
	VMOVUPS.Z (R10)(DX*2), K2, Z8 \
	VMOVUPS.Z (R8)(DX*2), K2, Z9  \
	VPERMD Z8, Z11, Z8     \
	VPERMD Z9, Z11, Z9     \
	VMULPS Z10, Z9, Z9     \
	MOVQ SI, R11           \
	MOVQ DI, R12           \
	MOVQ CX, BX            \
rows:                          \
	LD(R11, Z0)            \
	VPERMILPS $0xB1, Z0, Z1 \
	VMULPS Z8, Z0, Z0      \
	VMULPS Z9, Z1, Z1      \
	VADDPS Z1, Z0, Z0      \
	ST(Z0, R12)            \
	ADDQ R9, R11           \
	ADDQ R9, R12           \
	DECQ BX                \
	JNZ  rows

// func rotatePairsAVX512(dst, x *float32, rows int, cos, sin *float32, half int, sign float32)
TEXT ·rotatePairsAVX512(SB), NOSPLIT, $0-52
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ rows+16(FP), CX
	MOVQ cos+24(FP), R10
	MOVQ sin+32(FP), R8
	MOVQ half+40(FP), R9
	VBROADCASTSS sign+48(FP), Z10
	VPBROADCASTQ firstSign<>(SB), Z0
	VXORPS Z0, Z10, Z10
	VMOVUPS doubled<>(SB), Z11
	MOVQ R9, R15
	SHLQ $1, R15
	SHLQ $3, R9
	XORL DX, DX
	MOVL $0xff, AX
	KMOVW AX, K2
	SUBQ $16, R15
	JLT  partial

full:
	PAIRS(wholeRows, LD512FULL, ST512FULL)
	ADDQ $16, DX
	SUBQ $16, R15
	JGE  full

partial:
	ADDQ $16, R15
	JZ   finish
	MASK512(R15)
	SHRQ $1, R15
	MOVL $-1, AX
	BZHIL R15, AX, AX
	KMOVW AX, K2
	PAIRS(partRows, LD512PART, ST512PART)

finish:
	VZEROUPPER
	RET
