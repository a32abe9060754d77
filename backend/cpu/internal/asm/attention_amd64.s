//go:build !noasm

#include "textflag.h"
#include "lanes_amd64.h"

// WeightedSum keeps a slice of o in registers while it goes through the rows of
// v. Wider slices hide the latency of the multiply-adds better.
#define SLICE8(OP) OP(0, Y0)
#define SLICE16(OP) SLICE8(OP) OP(32, Y1)
#define SLICE32(OP) SLICE16(OP) OP(64, Y2) OP(96, Y3)
#define SLICE64(OP) SLICE32(OP) OP(128, Y4) OP(160, Y5) OP(192, Y6) OP(224, Y7)
#define LOADO(off, y) VMOVUPS off(DI), y;
#define STOREO(off, y) VMOVUPS y, off(DI);
#define FMAV(off, y) VFMADD231PS off(SI), Y8, y;

// SUMSLICE computes width channels at a time while at least that many remain.
#define SUMSLICE(SLICE, width, slice, rows, next) \
slice:                             \
	CMPQ R13, $width           \
	JLT  next                  \
	SLICE(LOADO)               \
	MOVQ DX, SI                \
	MOVQ R9, BX                \
	MOVQ R10, CX               \
rows:                              \
	VBROADCASTSS (BX), Y8      \
	SLICE(FMAV)                \
	ADDQ $4, BX                \
	ADDQ R8, SI                \
	DECQ CX                    \
	JNZ  rows                  \
	SLICE(STOREO)              \
	ADDQ $(width*4), DI        \
	ADDQ $(width*4), DX        \
	SUBQ $width, R13           \
	JMP  slice

// func weightedSumAVX2(o, p, v *float32, stride, n, d int)
TEXT ·weightedSumAVX2(SB), NOSPLIT, $0-48
	MOVQ o+0(FP), DI
	MOVQ p+8(FP), R9
	MOVQ v+16(FP), DX
	MOVQ stride+24(FP), R8
	SHLQ $2, R8
	MOVQ n+32(FP), R10
	MOVQ d+40(FP), R13
	SUMSLICE(SLICE64, 64, slice64, rows64, slice32)
	SUMSLICE(SLICE32, 32, slice32, rows32, slice16)
	SUMSLICE(SLICE16, 16, slice16, rows16, slice8)
	SUMSLICE(SLICE8, 8, slice8, rows8, part)

part:
	TESTQ R13, R13
	JZ    done
	MASK(R13)
	VMASKMOVPS (DI), Y15, Y0

rows:
	VBROADCASTSS (R9), Y8
	VMASKMOVPS (DX), Y15, Y9
	VFMADD231PS Y9, Y8, Y0
	ADDQ $4, R9
	ADDQ R8, DX
	DECQ R10
	JNZ  rows
	VMASKMOVPS Y0, Y15, (DI)

done:
	VZEROUPPER
	RET

// The AVX-512 kernel computes 128 channels at a time, then 64, 32 or 16, of
// which the last may be partial, under the masks K1 to K4.
#define LOADO512(off, z, k)  VMOVUPS.Z off(DI), k, z;
#define STOREO512(off, z, k) VMOVUPS z, k, off(DI);
#define FMAV512(off, z, k)   VFMADD231PS off(SI), Z16, k, z;
#define BLOCK16(OP) OP(0, Z0, K1)
#define BLOCK32(OP) BLOCK16(OP) OP(64, Z1, K2)
#define BLOCK64(OP) BLOCK32(OP) OP(128, Z2, K3) OP(192, Z3, K4)
#define BLOCK128(OP) OP(0, Z0, K5) OP(64, Z1, K5) OP(128, Z2, K5) OP(192, Z3, K5) \
	OP(256, Z4, K5) OP(320, Z5, K5) OP(384, Z6, K5) OP(448, Z7, K5)

#define SUMBLOCK512(BLOCK, rows) \
	BLOCK(LOADO512)            \
	MOVQ DX, SI                \
	MOVQ R9, BX                \
	MOVQ R10, CX               \
rows:                              \
	VBROADCASTSS (BX), Z16     \
	BLOCK(FMAV512)             \
	ADDQ $4, BX                \
	ADDQ R8, SI                \
	DECQ CX                    \
	JNZ  rows                  \
	BLOCK(STOREO512)

// func weightedSumAVX512(o, p, v *float32, stride, n, d int)
TEXT ·weightedSumAVX512(SB), NOSPLIT, $0-48
	MOVQ o+0(FP), DI
	MOVQ p+8(FP), R9
	MOVQ v+16(FP), DX
	MOVQ stride+24(FP), R8
	SHLQ $2, R8
	MOVQ n+32(FP), R10
	MOVQ d+40(FP), R13
	KXNORW K5, K5, K5

block128:
	CMPQ R13, $128
	JLT  block
	SUMBLOCK512(BLOCK128, rows128)
	ADDQ $512, DI
	ADDQ $512, DX
	SUBQ $128, R13
	JMP  block128

block:
	TESTQ R13, R13
	JLE   done
	MOVQ  $-1, AX
	CMPQ  R13, $64
	JGE   masks
	BZHIQ R13, AX, AX

masks:
	KMOVW AX, K1
	SHRQ  $16, AX
	KMOVW AX, K2
	SHRQ  $16, AX
	KMOVW AX, K3
	SHRQ  $16, AX
	KMOVW AX, K4
	CMPQ  R13, $32
	JGT   block64
	CMPQ  R13, $16
	JGT   block32
	SUMBLOCK512(BLOCK16, rows16)
	JMP   done

block32:
	SUMBLOCK512(BLOCK32, rows32)
	JMP done

block64:
	SUMBLOCK512(BLOCK64, rows64)
	ADDQ $256, DI
	ADDQ $256, DX
	SUBQ $64, R13
	JMP  block

done:
	VZEROUPPER
	RET
