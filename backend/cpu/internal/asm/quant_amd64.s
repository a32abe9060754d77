//go:build !noasm

#include "textflag.h"

// EIGHT defines eight copies of a 32-bit constant, given twice in 64 bits.
#define EIGHT(name, bits) \
	DATA name<>+0(SB)/8, bits  \
	DATA name<>+8(SB)/8, bits  \
	DATA name<>+16(SB)/8, bits \
	DATA name<>+24(SB)/8, bits \
	GLOBL name<>(SB), RODATA|NOPTR, $32

EIGHT(absMask, $0x7fffffff7fffffff)
EIGHT(f127, $0x42fe000042fe0000)       // 127.0
EIGHT(ones8, $0x0101010101010101)      // 1 in each byte
EIGHT(minus128, $0xff80ff80ff80ff80)   // -128 in each 16 bits
EIGHT(offset128, $0x8080808080808080)  // 128 in each byte
EIGHT(i127, $0x0000007f0000007f)       // 127
EIGHT(i7, $0x0000000700000007)         // 7
EIGHT(iMinus8, $0xfffffff8fffffff8)    // -8
EIGHT(offset8, $0x8888888888888888)    // 8 in each half byte
EIGHT(lowByte, $0x000000ff000000ff)
EIGHT(lowHalfByte, $0x0000000f0000000f)

// unpackOrder undoes the order in which packing to bytes leaves groups of 32
// bits.
DATA unpackOrder<>+0(SB)/8, $0x0000000400000000
DATA unpackOrder<>+8(SB)/8, $0x0000000500000001
DATA unpackOrder<>+16(SB)/8, $0x0000000600000002
DATA unpackOrder<>+24(SB)/8, $0x0000000700000003
GLOBL unpackOrder<>(SB), RODATA|NOPTR, $32

// func quantRowAVX2(dst *byte, x *float32, blocks int)
TEXT ·quantRowAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ blocks+16(FP), CX
	VMOVDQU absMask<>(SB), Y15
	VMOVUPS f127<>(SB), Y14
	VMOVDQU unpackOrder<>(SB), Y13
	VMOVDQU ones8<>(SB), Y12
	VMOVDQU minus128<>(SB), Y11

block:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS 64(SI), Y2
	VMOVUPS 96(SI), Y3
	VPAND Y15, Y0, Y4
	VPAND Y15, Y1, Y5
	VPAND Y15, Y2, Y6
	VPAND Y15, Y3, Y7
	VPMAXUD Y5, Y4, Y4
	VPMAXUD Y7, Y6, Y6
	VPMAXUD Y6, Y4, Y4
	VEXTRACTI128 $1, Y4, X5
	VPMAXUD X5, X4, X4
	VPSHUFD $0x4E, X4, X5
	VPMAXUD X5, X4, X4
	VPSHUFD $0xB1, X4, X5
	VPMAXUD X5, X4, X4
	VMOVD X4, AX
	LEAL -0x03800000(AX), BX // tinyBits
	CMPL BX, $0x7c000000     // infBits - tinyBits
	JCC  special
	VDIVPS X4, X14, X5
	VDIVSS X14, X4, X6
	VBROADCASTSS X5, Y5
	VMULPS Y5, Y0, Y0
	VMULPS Y5, Y1, Y1
	VMULPS Y5, Y2, Y2
	VMULPS Y5, Y3, Y3
	VCVTPS2DQ Y0, Y0
	VCVTPS2DQ Y1, Y1
	VCVTPS2DQ Y2, Y2
	VCVTPS2DQ Y3, Y3
	VPACKSSDW Y1, Y0, Y0
	VPACKSSDW Y3, Y2, Y2
	VPACKSSWB Y2, Y0, Y0
	VPERMD Y0, Y13, Y0
	VMOVDQU Y0, (DI)
	VMOVSS X6, 32(DI)
	VPMADDUBSW Y0, Y12, Y1
	VPMADDWD Y11, Y1, Y1
	VEXTRACTI128 $1, Y1, X2
	VPADDD X2, X1, X1
	VPSHUFD $0x4E, X1, X2
	VPADDD X2, X1, X1
	VPSHUFD $0xB1, X1, X2
	VPADDD X2, X1, X1
	VMOVD X1, 36(DI)

next:
	ADDQ $128, SI
	ADDQ $40, DI
	DECQ CX
	JNZ  block
	VZEROUPPER
	RET

special:
	VPXOR Y0, Y0, Y0
	VMOVDQU Y0, (DI)
	MOVQ $0, 32(DI)
	CMPL AX, $0x7f800000 // infBits
	JCS  next
	MOVL $0x7fc00000, 32(DI) // nanBits
	JMP  next

// The kernels below work on a tile of 32 rows of 16 columns; a row is 64 bytes.

// func columnSizesAVX2(tile *float32, sizes *uint32)
TEXT ·columnSizesAVX2(SB), NOSPLIT, $0-16
	MOVQ tile+0(FP), SI
	MOVQ sizes+8(FP), DI
	VMOVDQU absMask<>(SB), Y15
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	MOVL $32, CX

row:
	VPAND (SI), Y15, Y2
	VPAND 32(SI), Y15, Y3
	VPMAXUD Y2, Y0, Y0
	VPMAXUD Y3, Y1, Y1
	ADDQ $64, SI
	DECL CX
	JNZ  row
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	VZEROUPPER
	RET

// ROUNDQ8 rounds eight numbers into the lowest bytes of y.
#define ROUNDQ8(src, inv, y) \
	VMULPS src, inv, y   \
	VCVTPS2DQ y, y       \
	VPMINSD Y13, y, y    \
	VPAND Y11, y, y

// QUADQ8 stores four rows of eight columns, starting at byte off, as 32 bytes.
#define QUADQ8(off, inv, out) \
	ROUNDQ8(off(SI), inv, Y0)        \
	ROUNDQ8(off+64(SI), inv, Y1)     \
	ROUNDQ8(off+128(SI), inv, Y2)    \
	ROUNDQ8(off+192(SI), inv, Y3)    \
	VPSLLD $8, Y1, Y1                \
	VPSLLD $16, Y2, Y2               \
	VPSLLD $24, Y3, Y3               \
	VPOR Y1, Y0, Y0                  \
	VPOR Y3, Y2, Y2                  \
	VPOR Y2, Y0, Y0                  \
	VPXOR Y12, Y0, Y0                \
	VMOVDQU Y0, out(DI)

// func roundBlockQ8AVX2(dst *byte, tile *float32, inv *float32)
TEXT ·roundBlockQ8AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ tile+8(FP), SI
	MOVQ inv+16(FP), AX
	VMOVUPS (AX), Y14
	VMOVUPS 32(AX), Y15
	VMOVDQU i127<>(SB), Y13
	VMOVDQU offset128<>(SB), Y12
	VMOVDQU lowByte<>(SB), Y11
	MOVL $8, CX

quad:
	QUADQ8(0, Y14, 0)
	QUADQ8(32, Y15, 32)
	ADDQ $256, SI
	ADDQ $64, DI
	DECL CX
	JNZ  quad
	VZEROUPPER
	RET

// CLIPQ4 rounds eight numbers to integers from -8 to 7, the limits in Y13 and Y12.
#define CLIPQ4(src, inv, y) \
	VMULPS src, inv, y   \
	VCVTPS2DQ y, y       \
	VPMINSD Y13, y, y    \
	VPMAXSD Y12, y, y

#define ROUNDQ4(src, inv, y) \
	CLIPQ4(src, inv, y)  \
	VPAND Y11, y, y

// QUADQ4 packs four rows of eight columns into the lower halves of y's bytes.
#define QUADQ4(off, inv, y) \
	ROUNDQ4(off(SI), inv, y)         \
	ROUNDQ4(off+64(SI), inv, Y1)     \
	ROUNDQ4(off+128(SI), inv, Y2)    \
	ROUNDQ4(off+192(SI), inv, Y3)    \
	VPSLLD $8, Y1, Y1                \
	VPSLLD $16, Y2, Y2               \
	VPSLLD $24, Y3, Y3               \
	VPOR Y1, y, y                    \
	VPOR Y3, Y2, Y2                  \
	VPOR Y2, y, y

#define OCTQ4(off, inv, out) \
	QUADQ4(off, inv, Y0)      \
	QUADQ4(off+256, inv, Y4)  \
	VPSLLD $4, Y4, Y4         \
	VPOR Y4, Y0, Y0           \
	VPXOR Y10, Y0, Y0         \
	VMOVDQU Y0, out(DI)

// func roundBlockQ4AVX2(dst *byte, tile *float32, inv *float32)
TEXT ·roundBlockQ4AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ tile+8(FP), SI
	MOVQ inv+16(FP), AX
	VMOVUPS (AX), Y14
	VMOVUPS 32(AX), Y15
	VMOVDQU i7<>(SB), Y13
	VMOVDQU iMinus8<>(SB), Y12
	VMOVDQU lowHalfByte<>(SB), Y11
	VMOVDQU offset8<>(SB), Y10
	MOVL $4, CX

oct:
	OCTQ4(0, Y14, 0)
	OCTQ4(32, Y15, 32)
	ADDQ $512, SI
	ADDQ $64, DI
	DECL CX
	JNZ  oct
	VZEROUPPER
	RET

// ERRORQ4 adds the squared errors of eight columns to acc. As in the
// definition, no product is fused with an addition.
#define ERRORQ4(off, inv, d, acc, y, e) \
	VMOVUPS off(SI), e  \
	CLIPQ4(e, inv, y)   \
	VCVTDQ2PS y, y      \
	VMULPS d, y, y      \
	VSUBPS y, e, e      \
	VMULPS e, e, e      \
	VADDPS e, acc, acc

// func errorsQ4AVX2(tile, d, inv, errs *float32)
TEXT ·errorsQ4AVX2(SB), NOSPLIT, $0-32
	MOVQ tile+0(FP), SI
	MOVQ d+8(FP), AX
	MOVQ inv+16(FP), BX
	MOVQ errs+24(FP), DI
	VMOVUPS (BX), Y14
	VMOVUPS 32(BX), Y15
	VMOVUPS (AX), Y10
	VMOVUPS 32(AX), Y11
	VMOVDQU i7<>(SB), Y13
	VMOVDQU iMinus8<>(SB), Y12
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	MOVL $16, CX

rows:
	ERRORQ4(0, Y14, Y10, Y0, Y2, Y3)
	ERRORQ4(32, Y15, Y11, Y1, Y4, Y5)
	ERRORQ4(64, Y14, Y10, Y0, Y6, Y7)
	ERRORQ4(96, Y15, Y11, Y1, Y8, Y9)
	ADDQ $128, SI
	DECL CX
	JNZ  rows
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VZEROUPPER
	RET
