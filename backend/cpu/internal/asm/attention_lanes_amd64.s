//go:build !noasm

#include "textflag.h"
#include "exp_amd64.h"

// The kernels over lanes of attention_lanes.go. A row is 16 query vectors, 64
// bytes: one AVX-512 register. The AVX2 kernels compute one half of it.

DATA minusInf<>+0(SB)/4, $0xff800000
GLOBL minusInf<>(SB), RODATA|NOPTR, $4
DATA oneInt<>+0(SB)/4, $1
GLOBL oneInt<>(SB), RODATA|NOPTR, $4

// EACH8 applies OP to eight rows, each with one of eight registers.
#define EACH8(OP, r0, r1, r2, r3, r4, r5, r6, r7) \
	OP(0, r0)   \
	OP(64, r1)  \
	OP(128, r2) \
	OP(192, r3) \
	OP(256, r4) \
	OP(320, r5) \
	OP(384, r6) \
	OP(448, r7)

// Fourteen keys × 16 queries: OP(element of the key, its accumulator).
#define KEYS14(OP) \
	OP((SI), Z0)         \
	OP((SI)(R8*1), Z1)   \
	OP((SI)(R8*2), Z2)   \
	OP((SI)(R9*1), Z3)   \
	OP((SI)(R8*4), Z4)   \
	OP((SI)(R10*1), Z5)  \
	OP((SI)(R9*2), Z6)   \
	OP((SI)(R11*1), Z7)  \
	OP((SI)(R8*8), Z8)   \
	OP((SI)(R12*1), Z9)  \
	OP((SI)(R10*2), Z10) \
	OP((SI)(R13*1), Z11) \
	OP((SI)(R9*4), Z12)  \
	OP((SI)(AX*1), Z13)

#define ZEROKEY(a, z) VPXORD z, z, z;
#define FMAKEY(a, z) VFMADD231PS.BCST a, Z16, z;

// While a key is broadcast, the cache line that the key 13 later needs next is
// prefetched: with so many keys at once, the processor does not detect the
// pattern.

// func scoreLanesAVX512(d int, keys *float32, stride int, queries, s *float32)
TEXT ·scoreLanesAVX512(SB), NOSPLIT, $0-40
	MOVQ d+0(FP), CX
	MOVQ keys+8(FP), SI
	MOVQ stride+16(FP), R8
	SHLQ $2, R8
	MOVQ queries+24(FP), BX
	LEAQ (R8)(R8*2), R9
	LEAQ (R8)(R8*4), R10
	LEAQ (R9)(R8*4), R11
	LEAQ (R8)(R8*8), R12
	LEAQ (R9)(R8*8), R13
	LEAQ (R10)(R8*8), AX
	LEAQ (SI)(R11*2), DI // the 14 keys after these
	KEYS14(ZEROKEY)
	MOVQ $16, DX

element:
	PREFETCHT0 (DI)
	ADDQ R8, DI
	VMOVUPS (BX), Z16
	KEYS14(FMAKEY)
	ADDQ $4, SI
	ADDQ $64, BX
	DECQ DX
	JZ   line
more:
	DECQ CX
	JNZ  element
	MOVQ s+32(FP), DI
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	VMOVUPS Z2, 128(DI)
	VMOVUPS Z3, 192(DI)
	VMOVUPS Z4, 256(DI)
	VMOVUPS Z5, 320(DI)
	VMOVUPS Z6, 384(DI)
	VMOVUPS Z7, 448(DI)
	VMOVUPS Z8, 512(DI)
	VMOVUPS Z9, 576(DI)
	VMOVUPS Z10, 640(DI)
	VMOVUPS Z11, 704(DI)
	VMOVUPS Z12, 768(DI)
	VMOVUPS Z13, 832(DI)
	VZEROUPPER
	RET

line:
	MOVQ $16, DX
	LEAQ (SI)(R11*2), DI
	JMP  more

// Z4 holds the scale, Z5 what is subtracted, Z6 visible, Z7 the key's index, Z8
// 1. If either operand is NaN, VMAXPS returns the second, here the maximum so
// far.
#define MAX512(off, acc) \
	VMULPS off(SI), Z4, Z0      \
	VPCMPGTD Z7, Z6, K1         \
	VPADDD Z8, Z7, Z7           \
	VMAXPS acc, Z0, K1, acc

#define EXPSUM512(off, acc) \
	VMULPS off(SI), Z4, Z0      \
	VSUBPS Z5, Z0, Z0           \
	EXP512                      \
	VPCMPGTD Z7, Z6, K1         \
	VPADDD Z8, Z7, Z7           \
	VMOVAPS.Z Z0, K1, Z0        \
	VMOVUPS Z0, off(SI)         \
	VADDPS Z0, acc, acc

// func softmaxLanesAVX512(p *float32, rows int, visible *int32, scale float32, m, sum *float32)
TEXT ·softmaxLanesAVX512(SB), NOSPLIT, $0-48
	MOVQ p+0(FP), SI
	MOVQ rows+8(FP), CX
	MOVQ visible+16(FP), AX
	VMOVDQU32 (AX), Z6
	VBROADCASTSS scale+24(FP), Z4
	VPBROADCASTD oneInt<>(SB), Z8
	CONSTANTS512
	VBROADCASTSS minusInf<>(SB), Z9
	VMOVAPS Z9, Z24
	VMOVAPS Z9, Z25
	VMOVAPS Z9, Z26
	VMOVAPS Z9, Z27
	VPXORD Z7, Z7, Z7
	TESTQ CX, CX
	JZ   top

maxima:
	EACH8(MAX512, Z24, Z25, Z26, Z27, Z24, Z25, Z26, Z27)
	ADDQ $512, SI
	SUBQ $8, CX
	JNZ  maxima

top:
	VMAXPS Z25, Z24, Z24
	VMAXPS Z27, Z26, Z26
	VMAXPS Z26, Z24, Z5
	MOVQ m+32(FP), AX
	VMOVUPS Z5, (AX)
	VCMPPS $0, Z9, Z5, K1
	VPXORD Z5, Z5, K1, Z5

	VPXORD Z24, Z24, Z24
	VPXORD Z25, Z25, Z25
	VPXORD Z26, Z26, Z26
	VPXORD Z27, Z27, Z27
	VPXORD Z28, Z28, Z28
	VPXORD Z29, Z29, Z29
	VPXORD Z30, Z30, Z30
	VPXORD Z31, Z31, Z31
	VPXORD Z7, Z7, Z7
	MOVQ p+0(FP), SI
	MOVQ rows+8(FP), CX
	TESTQ CX, CX
	JZ   total

exponentials:
	EACH8(EXPSUM512, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31)
	ADDQ $512, SI
	SUBQ $8, CX
	JNZ  exponentials

total:
	VADDPS Z25, Z24, Z24
	VADDPS Z27, Z26, Z26
	VADDPS Z29, Z28, Z28
	VADDPS Z31, Z30, Z30
	VADDPS Z26, Z24, Z24
	VADDPS Z30, Z28, Z28
	VADDPS Z28, Z24, Z24
	MOVQ sum+40(FP), AX
	VMOVUPS Z24, (AX)
	VZEROUPPER
	RET

// Y4 holds the scale, Y5 what is subtracted, Y6 visible, Y7 the key's index, Y3
// −Inf.
#define MAX256(off, acc) \
	VMULPS off(SI), Y4, Y0      \
	VPCMPGTD Y7, Y6, Y1         \
	VPADDD Y2, Y7, Y7           \
	VBLENDVPS Y1, Y0, Y3, Y0    \
	VMAXPS acc, Y0, acc

#define EXPSUM256(off, acc) \
	VMULPS off(SI), Y4, Y0      \
	VSUBPS Y5, Y0, Y0           \
	EXP                         \
	VPCMPGTD Y7, Y6, Y1         \
	VPBROADCASTD oneInt<>(SB), Y2 \
	VPADDD Y2, Y7, Y7           \
	VANDPS Y1, Y0, Y0           \
	VMOVUPS Y0, off(SI)         \
	VADDPS Y0, acc, acc

// func softmaxLanesAVX2(p *float32, rows int, visible *int32, scale float32, m, sum *float32)
TEXT ·softmaxLanesAVX2(SB), NOSPLIT, $0-48
	MOVQ p+0(FP), SI
	MOVQ rows+8(FP), CX
	MOVQ visible+16(FP), AX
	VMOVDQU (AX), Y6
	VBROADCASTSS scale+24(FP), Y4
	VPBROADCASTD oneInt<>(SB), Y2
	VBROADCASTSS minusInf<>(SB), Y3
	VMOVAPS Y3, Y8
	VMOVAPS Y3, Y9
	VMOVAPS Y3, Y10
	VMOVAPS Y3, Y11
	VPXOR Y7, Y7, Y7

maxima:
	EACH8(MAX256, Y8, Y9, Y10, Y11, Y8, Y9, Y10, Y11)
	ADDQ $512, SI
	SUBQ $8, CX
	JNZ  maxima

	VMAXPS Y9, Y8, Y8
	VMAXPS Y11, Y10, Y10
	VMAXPS Y10, Y8, Y8
	MOVQ m+32(FP), AX
	VMOVUPS Y8, (AX)
	VCMPPS $0, Y3, Y8, Y5
	VANDNPS Y8, Y5, Y5

	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	VXORPS Y12, Y12, Y12
	VXORPS Y13, Y13, Y13
	VXORPS Y14, Y14, Y14
	VXORPS Y15, Y15, Y15
	VPXOR Y7, Y7, Y7
	MOVQ p+0(FP), SI
	MOVQ rows+8(FP), CX

exponentials:
	EACH8(EXPSUM256, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15)
	ADDQ $512, SI
	SUBQ $8, CX
	JNZ  exponentials

	VADDPS Y9, Y8, Y8
	VADDPS Y11, Y10, Y10
	VADDPS Y13, Y12, Y12
	VADDPS Y15, Y14, Y14
	VADDPS Y10, Y8, Y8
	VADDPS Y14, Y12, Y12
	VADDPS Y12, Y8, Y8
	MOVQ sum+40(FP), AX
	VMOVUPS Y8, (AX)
	VZEROUPPER
	RET

// WeightedSumLanes keeps a block of channels in registers while it goes through
// the keys. DX points to the block's first channel of the first key, SI to that
// of the current key, and R8 is the stride of keys in bytes. R9 points to the
// first row of p, BX to the current one. R10 is the number of keys, R13 the
// channels left.

#define LOAD512(off, src, z)  VMOVUPS off(DI), z;
#define STORE512(off, src, z) VMOVUPS z, off(DI);
#define FMA512(off, src, z)   VFMADD231PS.BCST src(SI), Z16, K1, z;

#define ZCHANNELS1(OP) OP(0, 0, Z0)
#define ZCHANNELS4(OP) ZCHANNELS1(OP) OP(64, 4, Z1) OP(128, 8, Z2) OP(192, 12, Z3)
#define ZCHANNELS16(OP) ZCHANNELS4(OP) \
	OP(256, 16, Z4) OP(320, 20, Z5) OP(384, 24, Z6) OP(448, 28, Z7)     \
	OP(512, 32, Z8) OP(576, 36, Z9) OP(640, 40, Z10) OP(704, 44, Z11)   \
	OP(768, 48, Z12) OP(832, 52, Z13) OP(896, 56, Z14) OP(960, 60, Z15)

#define SUMLANES512(CHANNELS, width, block, keys, next) \
block:                           \
	CMPQ R13, $width         \
	JLT  next                \
	CHANNELS(LOAD512)        \
	MOVQ DX, SI              \
	MOVQ R9, BX              \
	MOVQ R10, CX             \
	VMOVDQA32 Z20, Z17       \
keys:                            \
	VMOVUPS (BX), Z16        \
	VPCMPGTD Z17, Z18, K1    \
	VPADDD Z19, Z17, Z17     \
	CHANNELS(FMA512)         \
	ADDQ $64, BX             \
	ADDQ R8, SI              \
	DECQ CX                  \
	JNZ  keys                \
	CHANNELS(STORE512)       \
	ADDQ $(width*64), DI     \
	ADDQ $(width*4), DX      \
	SUBQ $width, R13         \
	JMP  block

// func weightedSumLanesAVX512(o, v *float32, stride, d int, p *float32, first, n int, visible *int32)
TEXT ·weightedSumLanesAVX512(SB), NOSPLIT, $0-64
	MOVQ o+0(FP), DI
	MOVQ v+8(FP), DX
	MOVQ stride+16(FP), R8
	SHLQ $2, R8
	MOVQ d+24(FP), R13
	MOVQ p+32(FP), R9
	VPBROADCASTD first+40(FP), Z20
	MOVQ n+48(FP), R10
	MOVQ visible+56(FP), AX
	VMOVDQU32 (AX), Z18
	VPBROADCASTD oneInt<>(SB), Z19
	SUMLANES512(ZCHANNELS16, 16, block16, keys16, block4)
	SUMLANES512(ZCHANNELS4, 4, block4, keys4, block1)
	SUMLANES512(ZCHANNELS1, 1, block1, keys1, done)

done:
	VZEROUPPER
	RET

#define LOAD256(off, src, y)  VMOVUPS off(DI), y;
#define STORE256(off, src, y) VMOVUPS y, off(DI);
#define FMA256(off, src, y) \
	VBROADCASTSS src(SI), Y9     \
	VMOVAPS y, Y10               \
	VFMADD231PS Y9, Y8, Y10      \
	VBLENDVPS Y11, Y10, y, y     \

#define YCHANNELS1(OP) OP(0, 0, Y0)
#define YCHANNELS8(OP) YCHANNELS1(OP) \
	OP(64, 4, Y1) OP(128, 8, Y2) OP(192, 12, Y3)    \
	OP(256, 16, Y4) OP(320, 20, Y5) OP(384, 24, Y6) OP(448, 28, Y7)

#define SUMLANES256(CHANNELS, width, block, keys, next) \
block:                           \
	CMPQ R13, $width         \
	JLT  next                \
	CHANNELS(LOAD256)        \
	MOVQ DX, SI              \
	MOVQ R9, BX              \
	MOVQ R10, CX             \
	VMOVDQA Y15, Y12         \
keys:                            \
	VMOVUPS (BX), Y8         \
	VPCMPGTD Y12, Y13, Y11   \
	VPADDD Y14, Y12, Y12     \
	CHANNELS(FMA256)         \
	ADDQ $64, BX             \
	ADDQ R8, SI              \
	DECQ CX                  \
	JNZ  keys                \
	CHANNELS(STORE256)       \
	ADDQ $(width*64), DI     \
	ADDQ $(width*4), DX      \
	SUBQ $width, R13         \
	JMP  block

// func weightedSumLanesAVX2(o, v *float32, stride, d int, p *float32, first, n int, visible *int32)
TEXT ·weightedSumLanesAVX2(SB), NOSPLIT, $0-64
	MOVQ o+0(FP), DI
	MOVQ v+8(FP), DX
	MOVQ stride+16(FP), R8
	SHLQ $2, R8
	MOVQ d+24(FP), R13
	MOVQ p+32(FP), R9
	VPBROADCASTD first+40(FP), Y15
	MOVQ n+48(FP), R10
	MOVQ visible+56(FP), AX
	VMOVDQU (AX), Y13
	VPBROADCASTD oneInt<>(SB), Y14
	SUMLANES256(YCHANNELS8, 8, block8, keys8, block1)
	SUMLANES256(YCHANNELS1, 1, block1, keys1, done)

done:
	VZEROUPPER
	RET

// func mergeLanesAVX2(o, x *float32, rows int, a, b *float32)
TEXT ·mergeLanesAVX2(SB), NOSPLIT, $0-40
	MOVQ o+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ rows+16(FP), CX
	MOVQ a+24(FP), AX
	MOVQ b+32(FP), BX
	VMOVUPS (AX), Y4
	VMOVUPS 32(AX), Y5
	VMOVUPS (BX), Y6
	VMOVUPS 32(BX), Y7

rows:
	VMULPS (DI), Y4, Y0
	VMULPS 32(DI), Y5, Y1
	VFMADD231PS (SI), Y6, Y0
	VFMADD231PS 32(SI), Y7, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $64, DI
	ADDQ $64, SI
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET

// func scaleLanesAVX2(o *float32, rows int, s *float32)
TEXT ·scaleLanesAVX2(SB), NOSPLIT, $0-24
	MOVQ o+0(FP), DI
	MOVQ rows+8(FP), CX
	MOVQ s+16(FP), AX
	VMOVUPS (AX), Y4
	VMOVUPS 32(AX), Y5
	VXORPS Y6, Y6, Y6

rows:
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VFMADD213PS Y6, Y4, Y0
	VFMADD213PS Y6, Y5, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ $64, DI
	DECQ CX
	JNZ  rows
	VZEROUPPER
	RET
