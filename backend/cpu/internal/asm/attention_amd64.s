//go:build !noasm

#include "textflag.h"
#include "lanes_amd64.h"

// A group of eight keys shares the loads of q. SI walks the channels of the
// first key; R8, R9, R10 and R11 are 1, 3, 5 and 7 key strides in bytes.
#define KEYS8(OP) \
	OP((SI), Y0)        \
	OP((SI)(R8*1), Y1)  \
	OP((SI)(R8*2), Y2)  \
	OP((SI)(R9*1), Y3)  \
	OP((SI)(R8*4), Y4)  \
	OP((SI)(R10*1), Y5) \
	OP((SI)(R9*2), Y6)  \
	OP((SI)(R11*1), Y7)
#define ZEROACC(k, acc) VXORPS acc, acc, acc;
#define DOTFULL(k, acc) VFMADD231PS k, Y8, acc;
#define DOTPART(k, acc) VMASKMOVPS k, Y15, Y9; VFMADD231PS Y9, Y8, acc;

// func dotsAVX2(out, q, k *float32, stride, n, d int)
TEXT ·dotsAVX2(SB), NOSPLIT, $0-48
	MOVQ out+0(FP), DI
	MOVQ k+16(FP), DX
	MOVQ stride+24(FP), R8
	SHLQ $2, R8
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (R9)(R8*4), R11
	MOVQ n+32(FP), R12
	MOVQ d+40(FP), R13
	MOVQ R13, CX
	ANDQ $7, CX
	MASK(CX)
	CMPQ R12, $8
	JLT  one

group:
	MOVQ q+8(FP), BX
	MOVQ DX, SI
	MOVQ R13, CX
	KEYS8(ZEROACC)
	SUBQ $8, CX
	JLT  part8

full8:
	VMOVUPS (BX), Y8
	KEYS8(DOTFULL)
	ADDQ $32, BX
	ADDQ $32, SI
	SUBQ $8, CX
	JGE  full8

part8:
	CMPQ CX, $-8
	JEQ  sum8
	VMASKMOVPS (BX), Y15, Y8
	KEYS8(DOTPART)

sum8:
	// Pairwise sums within the halves of each accumulator, then the halves.
	VHADDPS Y1, Y0, Y0
	VHADDPS Y3, Y2, Y2
	VHADDPS Y5, Y4, Y4
	VHADDPS Y7, Y6, Y6
	VHADDPS Y2, Y0, Y0
	VHADDPS Y6, Y4, Y4
	VPERM2F128 $0x20, Y4, Y0, Y1
	VPERM2F128 $0x31, Y4, Y0, Y2
	VADDPS Y2, Y1, Y0
	VMOVUPS Y0, (DI)
	ADDQ $32, DI
	LEAQ (DX)(R8*8), DX
	SUBQ $8, R12
	JZ   done
	CMPQ R12, $8
	JGE  group

	// Fewer than eight keys remain: step back and repeat some, to the same bits.
	SUBQ $8, R12
	LEAQ (DI)(R12*4), DI
	MOVQ R12, AX
	IMULQ R8, AX
	ADDQ AX, DX
	MOVQ $8, R12
	JMP  group

one:
	MOVQ q+8(FP), BX
	MOVQ DX, SI
	MOVQ R13, CX
	VXORPS Y0, Y0, Y0
	SUBQ $8, CX
	JLT  part1

full1:
	VMOVUPS (BX), Y8
	VFMADD231PS (SI), Y8, Y0
	ADDQ $32, BX
	ADDQ $32, SI
	SUBQ $8, CX
	JGE  full1

part1:
	CMPQ CX, $-8
	JEQ  sum1
	VMASKMOVPS (BX), Y15, Y8
	DOTPART((SI), Y0)

sum1:
	SUM8
	VMOVSS X0, (DI)
	ADDQ $4, DI
	ADDQ R8, DX
	DECQ R12
	JNZ  one

done:
	VZEROUPPER
	RET

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

#define RANKONE(LD, ST, KEEP) \
	LD(DI, Y0)            \
	LD(SI, Y1)            \
	VFMADD231PS Y1, Y8, Y0 \
	ST(Y0, DI)

// func rankOneAVX2(dst *float32, stride int, p, x *float32, n, d int)
TEXT ·rankOneAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ stride+8(FP), R8
	SHLQ $2, R8
	MOVQ p+16(FP), R9
	MOVQ x+24(FP), SI
	MOVQ n+32(FP), R10

row:
	MOVQ d+40(FP), CX
	VBROADCASTSS (R9), Y8
	LANES(RANKONE)
	ADDQ $4, R9
	ADDQ R8, DI
	DECQ R10
	JNZ  row
	VZEROUPPER
	RET
