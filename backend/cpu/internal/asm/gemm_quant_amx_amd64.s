//go:build !noasm

#include "textflag.h"
#include "amx_amd64.h"

// The kernel processes groups of up to four strips of 16 rows of A, two panels
// of 8-bit integers and chunks of two blocks of k. A strip and a chunk need
// four products of tiles: both blocks of A, one after the other in tile 0, by
// both panels. Tiles 1 and 2 hold the first block of the panels for all strips,
// and tile 3 the second block of one panel, then of the other. The sums, in
// tiles 4 to 7, are stored to memory, from where the vector unit adds them to
// C, 8 rows × 2 panels in Z0 to Z15 at a time. The tiles run two strips ahead
// of the vector unit, and a sum is stored after three more products. The sums
// and the group's C stay in the first-level cache.
//
// The bits of an integer plus 0x4b400000 are those of the float32 1.5·2²³ plus
// the integer. One FMA multiplies this by the column's scale and subtracts
// 1.5·2²³ times the scale, which gives the scaled integer, rounded once. Next
// to tiles the integer addition is free: it may run on the port whose
// multiply-adds the tiles block, which a conversion may not.
//
// SI and BX point into A and the panels for the tiles, DX and R14 to their
// scales for the vector unit; R8 is 32 and CX 64, the strides of tiles; R13 and
// R12 point to the sums of this and of the next strip; DI points to C, and R10
// to where its rows go, R9 apart; R11 counts strips; AX points to the panels to
// prefetch.

// The sums of a strip and a chunk are four tiles. A block of panels is two
// times 512 bytes and four vectors, and a strip of A two times 512 bytes and
// 2×16 scales.
#define SUMS 4096
#define BLOCK 1280
#define SCALES 1024
#define STRIP 1152

// Steps of a strip of tiles: LOADn and PRODUCTn for the n-th product. SAVE
// stores tile t at byte off from base. LOAD0 starts the next chunk after the
// last strip, and goes back to the start of the panels after the last chunk.
#define LOAD0(same, go) \
	DECQ stripsAhead-8(SP) \
	JNZ  go \
	MOVQ strips+16(FP), R15 \
	MOVQ R15, stripsAhead-8(SP) \
	ADDQ $(2*BLOCK), BX \
	DECQ chunksAhead-16(SP) \
	JNZ  same \
	MOVQ chunks+24(FP), R15 \
	MOVQ R15, chunksAhead-16(SP) \
	MOVQ panels+40(FP), BX \
same: \
	TILELOAD(1, 3, 1) \
	LEAQ 512(BX), R15 \
	TILELOAD(2, 15, 1) \
go: \
	TILELOAD(0, 6, 8)

#define LOAD1 \
	MOVQ panelStep+88(FP), R15 \
	PREFETCHT1 (AX) \
	PREFETCHT1 64(AX) \
	PREFETCHT1 (AX)(R15*1) \
	PREFETCHT1 64(AX)(R15*1) \
	SUBQ $-128, AX

#define LOAD2 ADDQ $512, SI; TILELOAD(0, 6, 8); LEAQ BLOCK(BX), R15; TILELOAD(3, 15, 1)
#define LOAD3 ADDQ $(STRIP-512), SI; LEAQ (BLOCK+512)(BX), R15; TILELOAD(3, 15, 1)
#define PRODUCT0 TILEZERO(4); TDPBSSD(4, 0, 1)
#define PRODUCT1 TILEZERO(5); TDPBSSD(5, 0, 2)
#define PRODUCT2 TILEZERO(6); TDPBSSD(6, 0, 3)
#define PRODUCT3 TILEZERO(7); TDPBSSD(7, 0, 3)
#define SAVE(t, base, off) LEAQ off(base), R15; TILESTORE(t, 15, 1)

// ROW adds the sums of a row at byte sums to C, with the row's scale at a.
#define ROW(a, sums, c0, c1) \
	VBROADCASTSS a, Z18 \
	VPADDD sums(R13), Z31, Z20 \
	VPADDD sums+1024(R13), Z31, Z21 \
	VFMSUB213PS Z24, Z16, Z20 \
	VFMSUB213PS Z25, Z17, Z21 \
	VFMADD231PS Z18, Z20, c0 \
	VFMADD231PS Z18, Z21, c1

// ADD adds block b to half g of the strip, 8 rows. OP0 to OP2 are tile steps.
#define ADD(g, b, OP0, OP1, OP2) \
	VMOVUPS BLOCK*b+SCALES(R14), Z16 \
	VMOVUPS BLOCK*b+SCALES+64(R14), Z17 \
	VMOVUPS BLOCK*b+SCALES+128(R14), Z24 \
	VMOVUPS BLOCK*b+SCALES+192(R14), Z25 \
	OP0 \
	ROW(SCALES+64*b+32*g+0(DX), b*2048+g*512+0, Z0, Z1) \
	ROW(SCALES+64*b+32*g+4(DX), b*2048+g*512+64, Z2, Z3) \
	OP1 \
	ROW(SCALES+64*b+32*g+8(DX), b*2048+g*512+128, Z4, Z5) \
	ROW(SCALES+64*b+32*g+12(DX), b*2048+g*512+192, Z6, Z7) \
	OP2 \
	ROW(SCALES+64*b+32*g+16(DX), b*2048+g*512+256, Z8, Z9) \
	ROW(SCALES+64*b+32*g+20(DX), b*2048+g*512+320, Z10, Z11) \
	ROW(SCALES+64*b+32*g+24(DX), b*2048+g*512+384, Z12, Z13) \
	ROW(SCALES+64*b+32*g+28(DX), b*2048+g*512+448, Z14, Z15)

// GETC loads a row of C, or zeros in the first chunk if resume is not set; PUTC
// stores the next row.
#define GETC(row, a, b) VMOVUPS.Z 128*row(DI), K1, a; VMOVUPS.Z 128*row+64(DI), K1, b
#define PUTC(a, b) VMOVUPS a, (R10); VMOVUPS b, 64(R10); ADDQ R9, R10

// HALF adds the chunk to half g of the strip, interleaved with two products
// ahead (their LOADs and PRODUCTs) and with stores of the sums of three
// products before.
#define HALF(g, LOADA, PRODUCTA, SAVEA, LOADB, PRODUCTB, SAVEB) \
	GETC(0, Z0, Z1); GETC(1, Z2, Z3); GETC(2, Z4, Z5); GETC(3, Z6, Z7) \
	GETC(4, Z8, Z9); GETC(5, Z10, Z11); GETC(6, Z12, Z13); GETC(7, Z14, Z15) \
	ADD(g, 0, LOADA, PRODUCTA, SAVEA) \
	ADD(g, 1, LOADB, PRODUCTB, SAVEB) \
	PUTC(Z0, Z1); PUTC(Z2, Z3); PUTC(Z4, Z5); PUTC(Z6, Z7) \
	PUTC(Z8, Z9); PUTC(Z10, Z11); PUTC(Z12, Z13); PUTC(Z14, Z15) \
	ADDQ $1024, DI

// func tilesQuant(cfg *tileConfig, groups, strips, chunks int, rows, panels, sums *byte, c, out *float32, ldc int,
//	next *byte, panelStep int, resume bool)
TEXT ·tilesQuant(SB), NOSPLIT, $32-97
	MOVQ cfg+0(FP), DI
	LDTILECFG(7)
	MOVQ $32, R8
	MOVQ $64, CX
	VPBROADCASTD widen<>+12(SB), Z31
	MOVQ sums+48(FP), R13
	LEAQ SUMS(R13), R12
	MOVQ rows+32(FP), SI
	MOVQ SI, DX
	MOVQ c+56(FP), DI
	MOVQ next+80(FP), AX
	MOVQ strips+16(FP), R15
	SHLQ $11, R15
	MOVQ R15, stripsBytes-32(SP)
	MOVQ $1, stripsAhead-8(SP)
	MOVQ $1, chunksAhead-16(SP)
	LOAD0(same0, go0); PRODUCT0; PRODUCT1; LOAD2; PRODUCT2; LOAD3; PRODUCT3
	SAVE(4, R13, 0)
	SAVE(5, R13, 1024)
	SAVE(6, R13, 2048)
	SAVE(7, R13, 3072)
	LOAD0(same1, go1); PRODUCT0; PRODUCT1; LOAD2; PRODUCT2; LOAD3; PRODUCT3
	SAVE(4, R12, 0)

group:
	MOVQ chunks+24(FP), R15
	MOVQ R15, chunksLeft-24(SP)
	MOVQ panels+40(FP), R14
	MOVBLZX resume+96(FP), R15
	NEGL R15
	KMOVW R15, K1

chunk:
	MOVQ strips+16(FP), R11
	MOVQ DI, R10
	MOVQ $128, R9
	CMPQ chunksLeft-24(SP), $1
	JNE  strip
	MOVQ out+64(FP), R10
	MOVQ ldc+72(FP), R9
	SHLQ $2, R9

strip:
	HALF(0, LOAD0(same, go), PRODUCT0, SAVE(5, R12, 1024), LOAD1, PRODUCT1, SAVE(6, R12, 2048))
	HALF(1, LOAD2, PRODUCT2, SAVE(7, R12, 3072), LOAD3, PRODUCT3, SAVE(4, R13, 0))
	XCHGQ R12, R13
	ADDQ $STRIP, DX
	DECQ R11
	JNZ  strip
	ADDQ $(2*BLOCK), R14
	MOVL $0xffff, R15
	KMOVW R15, K1
	DECQ chunksLeft-24(SP)
	JEQ  next
	SUBQ stripsBytes-32(SP), DI
	JMP  chunk

next:
	MOVQ R10, out+64(FP)
	DECQ groups+8(FP)
	JNZ  group
	TILERELEASE
	VZEROUPPER
	RET

// func joinRowsQ8(dst, src *byte, rowStep, chunkStep, chunks int)
TEXT ·joinRowsQ8(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ rowStep+16(FP), R8
	MOVQ chunkStep+24(FP), R11
	MOVQ chunks+32(FP), CX

chunk:
	MOVQ SI, AX
	MOVQ DI, BX
	LEAQ SCALES(DI), DX
	MOVQ $16, R9

row:
	VMOVDQU (AX), Y0
	VMOVDQU 40(AX), Y1
	MOVL 32(AX), R10
	MOVL 72(AX), R12
	VMOVDQU Y0, (BX)
	VMOVDQU Y1, 512(BX)
	MOVL R10, (DX)
	MOVL R12, 64(DX)
	ADDQ R8, AX
	ADDQ $32, BX
	ADDQ $4, DX
	DECQ R9
	JNZ  row
	ADDQ $80, SI
	ADDQ R11, DI
	DECQ CX
	JNZ  chunk
	VZEROUPPER
	RET

DATA widen<>+0(SB)/4, $0x80808080 // 128 in each byte
DATA widen<>+4(SB)/4, $0x0f0f0f0f // the lower half of each byte
DATA widen<>+8(SB)/4, $0x08080808 // 8 in each byte
DATA widen<>+12(SB)/4, $0x4b400000 // 1.5·2²³
GLOBL widen<>(SB), RODATA|NOPTR, $16

// WIDENING sets DI to the integers and DX to the scales of the first or second
// panel of a pair, and the constants in Z28 to Z31.
#define WIDENING \
	MOVQ dst+0(FP), DI \
	MOVQ src+8(FP), SI \
	MOVQ blocks+16(FP), CX \
	VPBROADCASTD widen<>+0(SB), Z28 \
	VPBROADCASTD widen<>+4(SB), Z29 \
	VPBROADCASTD widen<>+8(SB), Z30 \
	VBROADCASTSS widen<>+12(SB), Z31 \
	MOVQ second+24(FP), DX \
	MOVQ DX, AX \
	SHLQ $6, DX \
	SHLQ $9, AX \
	ADDQ DI, DX \
	ADDQ AX, DI

// WIDENSCALES writes the scales and 1.5·2²³ times them.
#define WIDENSCALES \
	VCVTPH2PS (SI), Z0 \
	VMULPS Z31, Z0, Z1 \
	VMOVUPS Z0, SCALES(DX) \
	VMOVUPS Z1, SCALES+128(DX)

#define SIGNED(src, dst) VPXORD src(SI), Z28, Z0; VMOVDQU32 Z0, dst(DI)

// func widenQ8(dst, src *byte, blocks, second int)
TEXT ·widenQ8(SB), NOSPLIT, $0-32
	WIDENING

loop:
	WIDENSCALES
	SIGNED(32, 0)
	SIGNED(96, 64)
	SIGNED(160, 128)
	SIGNED(224, 192)
	SIGNED(288, 256)
	SIGNED(352, 320)
	SIGNED(416, 384)
	SIGNED(480, 448)
	ADDQ $544, SI
	ADDQ $BLOCK, DI
	ADDQ $BLOCK, DX
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

#define NIBBLES(src, dst) \
	VMOVDQU32 src(SI), Z0 \
	VPANDD Z29, Z0, Z1 \
	VPSRLD $4, Z0, Z0 \
	VPANDD Z29, Z0, Z0 \
	VPSUBB Z30, Z1, Z1 \
	VPSUBB Z30, Z0, Z0 \
	VMOVDQU32 Z1, dst(DI) \
	VMOVDQU32 Z0, dst+64(DI)

// func widenQ4(dst, src *byte, blocks, second int)
TEXT ·widenQ4(SB), NOSPLIT, $0-32
	WIDENING

loop:
	WIDENSCALES
	NIBBLES(32, 0)
	NIBBLES(96, 128)
	NIBBLES(160, 256)
	NIBBLES(224, 384)
	ADDQ $288, SI
	ADDQ $BLOCK, DI
	ADDQ $BLOCK, DX
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// func tileLoopInt8(cfg *tileConfig, n int)
TEXT ·tileLoopInt8(SB), NOSPLIT, $0-16
	TILELOOP(TDPBSSD)
