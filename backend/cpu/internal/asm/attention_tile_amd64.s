//go:build !noasm

#include "textflag.h"
#include "exp_amd64.h"

DATA lanes16<>+0(SB)/4, $0
DATA lanes16<>+4(SB)/4, $1
DATA lanes16<>+8(SB)/4, $2
DATA lanes16<>+12(SB)/4, $3
DATA lanes16<>+16(SB)/4, $4
DATA lanes16<>+20(SB)/4, $5
DATA lanes16<>+24(SB)/4, $6
DATA lanes16<>+28(SB)/4, $7
DATA lanes16<>+32(SB)/4, $8
DATA lanes16<>+36(SB)/4, $9
DATA lanes16<>+40(SB)/4, $10
DATA lanes16<>+44(SB)/4, $11
DATA lanes16<>+48(SB)/4, $12
DATA lanes16<>+52(SB)/4, $13
DATA lanes16<>+56(SB)/4, $14
DATA lanes16<>+60(SB)/4, $15
GLOBL lanes16<>(SB), RODATA|NOPTR, $64
DATA sixteen<>+0(SB)/4, $16
GLOBL sixteen<>(SB), RODATA|NOPTR, $4

// Z4 holds scale, Z5 lse, Z6 visible, Z7 the indices of the columns, Z8 16, Z9
// delta, Z22 width; K1 masks the columns that the row sees, K2 those that
// exist.

// func softmaxGradRowsAVX512(p, ds *float32, rows, width int, visible *int32, lse, delta *float32, scale float32)
TEXT ·softmaxGradRowsAVX512(SB), NOSPLIT, $0-60
	MOVQ p+0(FP), SI
	MOVQ ds+8(FP), DI
	MOVQ rows+16(FP), R8
	MOVQ width+24(FP), R9
	MOVQ visible+32(FP), R10
	MOVQ lse+40(FP), R11
	MOVQ delta+48(FP), R12
	VBROADCASTSS scale+56(FP), Z4
	VPBROADCASTD sixteen<>(SB), Z8
	VPBROADCASTD width+24(FP), Z22
	CONSTANTS512

row:
	VPBROADCASTD (R10), Z6
	VBROADCASTSS (R11), Z5
	VBROADCASTSS (R12), Z9
	VMOVDQU32 lanes16<>(SB), Z7
	XORL DX, DX

columns:
	VPCMPGTD Z7, Z6, K1
	VPCMPGTD Z7, Z22, K2
	VPADDD Z8, Z7, Z7
	VMOVUPS.Z (SI)(DX*4), K1, Z0
	VMULPS Z0, Z4, Z0
	VSUBPS Z5, Z0, Z0
	EXP512
	VMOVAPS.Z Z0, K1, Z0
	VMOVUPS.Z (DI)(DX*4), K1, Z1
	VSUBPS Z9, Z1, Z1
	VMULPS Z1, Z0, Z1
	VMULPS.Z Z4, Z1, K1, Z1
	VMOVUPS Z0, K2, (SI)(DX*4)
	VMOVUPS Z1, K2, (DI)(DX*4)
	ADDQ $16, DX
	CMPQ DX, R9
	JLT  columns
	LEAQ (SI)(R9*4), SI
	LEAQ (DI)(R9*4), DI
	ADDQ $4, R10
	ADDQ $4, R11
	ADDQ $4, R12
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET
