//go:build !noasm

#include "textflag.h"
#include "lanes_amd64.h"

// WeightedSum holds a slice of o in registers while it walks the rows of v. Wider
// slices hide the latency of the chain better.
#define SLICE8(OP) OP(0, Y0)
#define SLICE16(OP) SLICE8(OP) OP(32, Y1)
#define SLICE32(OP) SLICE16(OP) OP(64, Y2) OP(96, Y3)
#define SLICE64(OP) SLICE32(OP) OP(128, Y4) OP(160, Y5) OP(192, Y6) OP(224, Y7)
#define LOADO(off, y) VMOVUPS off(DI), y;
#define STOREO(off, y) VMOVUPS y, off(DI);
#define FMAV(off, y) VFMADD231PS off(SI), Y8, y;

// SUMSLICE takes width channels while at least that many remain.
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
