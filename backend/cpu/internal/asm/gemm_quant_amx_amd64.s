//go:build !noasm

#include "textflag.h"
#include "amx_amd64.h"

// The kernel takes 32 rows of A, two panels of 8-bit integers and chunks of two blocks
// of k. A block is four products of tiles: of both strips of A, in tiles 0 and 1, with
// both panels, in tiles 2 and 3. Their sums, in tiles 4 to 7, go to memory, from where
// the vector unit adds them to C, 8 rows × 2 panels in Z0 to Z15 at a time. The tiles
// run three blocks ahead of it, and a sum is stored after three more products.
//
// A sum starts from 0x4b400000. As a float32 it is then 1.5·2²³ plus the integer, and
// one FMA takes it times the scale of the column less 1.5·2²³ times that scale, which
// is the scaled integer, rounded once.
//
// SI and BX walk A and the panels for the tiles, DX and R14 their scales for the
// vectors; R8 is 32, CX 64 and R11 0, the strides of tiles; R13 and R12 are the sums of
// this and of the next chunk; DI is C, and R10 where its rows go, R9 apart; AX walks
// the panels that are fetched.

// Sums of a chunk are two blocks of four tiles; a block of panels is two of 512 bytes
// and four vectors, and one of A two of 512 bytes and 32 scales.
#define SUMS 8192
#define BLOCK 1280
#define SCALES 1024
#define BLOCKA 1152

// Steps of a block of tiles: LOADn and PRODUCTn for the n-th product. SAVE stores tile
// t at byte off from base.
#define START(t) MOVQ start-8(SP), R15; TILELOAD(t, 15, 11)
#define LOAD0 TILESTREAM(0, 6, 8); TILELOAD(2, 3, 1)
#define LOAD1 ADDQ $512, BX; TILELOAD(3, 3, 1)
#define LOAD2 ADDQ $512, SI; TILESTREAM(1, 6, 8)
#define LOAD3 ADDQ $(BLOCK-512), BX; ADDQ $(BLOCKA-512), SI
#define PRODUCT0 START(4); TDPBSSD(4, 0, 2)
#define PRODUCT1 START(5); TDPBSSD(5, 0, 3)
#define PRODUCT2 START(6); TDPBSSD(6, 1, 2)
#define PRODUCT3 START(7); TDPBSSD(7, 1, 3)
#define SAVE(t, base, off) LEAQ off(base), R15; TILESTORE(t, 15, 1)

// FIRST is a block of tiles at the start, of which the first sum is stored.
#define FIRST(off) \
	LOAD0; PRODUCT0; LOAD1; PRODUCT1; LOAD2; PRODUCT2; LOAD3; PRODUCT3 \
	SAVE(4, R12, off)

// ROW adds the sums at byte sums, of a row with the scale at a, to C.
#define ROW(a, sums, c0, c1) \
	VBROADCASTSS a, Z18 \
	VMOVUPS sums(R13), Z20 \
	VMOVUPS sums+1024(R13), Z21 \
	VFMSUB213PS Z24, Z16, Z20 \
	VFMSUB213PS Z25, Z17, Z21 \
	VFMADD231PS Z18, Z20, c0 \
	VFMADD231PS Z18, Z21, c1

// ADD adds block b to group g of 8 rows. OP0 to OP2 are steps of the tiles.
#define ADD(g, b, OP0, OP1, OP2) \
	VMOVUPS BLOCK*b+SCALES(R14), Z16 \
	VMOVUPS BLOCK*b+SCALES+64(R14), Z17 \
	VMOVUPS BLOCK*b+SCALES+128(R14), Z24 \
	VMOVUPS BLOCK*b+SCALES+192(R14), Z25 \
	OP0 \
	ROW(BLOCKA*b+SCALES+32*g+0(DX), g/2*2048+g%2*512+b*4096+0, Z0, Z1) \
	ROW(BLOCKA*b+SCALES+32*g+4(DX), g/2*2048+g%2*512+b*4096+64, Z2, Z3) \
	OP1 \
	ROW(BLOCKA*b+SCALES+32*g+8(DX), g/2*2048+g%2*512+b*4096+128, Z4, Z5) \
	ROW(BLOCKA*b+SCALES+32*g+12(DX), g/2*2048+g%2*512+b*4096+192, Z6, Z7) \
	OP2 \
	ROW(BLOCKA*b+SCALES+32*g+16(DX), g/2*2048+g%2*512+b*4096+256, Z8, Z9) \
	ROW(BLOCKA*b+SCALES+32*g+20(DX), g/2*2048+g%2*512+b*4096+320, Z10, Z11) \
	ROW(BLOCKA*b+SCALES+32*g+24(DX), g/2*2048+g%2*512+b*4096+384, Z12, Z13) \
	ROW(BLOCKA*b+SCALES+32*g+28(DX), g/2*2048+g%2*512+b*4096+448, Z14, Z15)

// GETC loads a row of C, or zeros at first without resume; PUTC stores the next one.
#define GETC(row, a, b) VMOVUPS.Z 128*row(DI), K1, a; VMOVUPS.Z 128*row+64(DI), K1, b
#define PUTC(a, b) VMOVUPS a, (R10); VMOVUPS b, 64(R10); ADDQ R9, R10

// GROUP adds the chunk to group g of rows, beside two products ahead: their LOADs and
// PRODUCTs, and the stores of sums of three before.
#define GROUP(g, LOADA, PRODUCTA, SAVEA, LOADB, PRODUCTB, SAVEB) \
	PREFETCHT1 (AX) \
	MOVQ panelStep+80(FP), R15 \
	PREFETCHT1 (AX)(R15*1) \
	ADDQ $64, AX \
	GETC(0, Z0, Z1); GETC(1, Z2, Z3); GETC(2, Z4, Z5); GETC(3, Z6, Z7) \
	GETC(4, Z8, Z9); GETC(5, Z10, Z11); GETC(6, Z12, Z13); GETC(7, Z14, Z15) \
	ADD(g, 0, LOADA, PRODUCTA, SAVEA) \
	ADD(g, 1, LOADB, PRODUCTB, SAVEB) \
	PUTC(Z0, Z1); PUTC(Z2, Z3); PUTC(Z4, Z5); PUTC(Z6, Z7) \
	PUTC(Z8, Z9); PUTC(Z10, Z11); PUTC(Z12, Z13); PUTC(Z14, Z15) \
	ADDQ $1024, DI

// AHEAD counts a chunk of the tiles: after the last one of a pair of strips the panels
// begin again.
#define AHEAD(go) \
	DECQ chunksAhead-24(SP) \
	JNZ  go \
	MOVQ chunks+8(FP), R15 \
	MOVQ R15, chunksAhead-24(SP) \
	MOVQ panels+32(FP), BX \
go:

// func tilesQuant(cfg *tileConfig, chunks, strips int, rows, panels, sums *byte, c, out *float32, ldc int, next *byte,
//	panelStep int, resume bool)
TEXT ·tilesQuant(SB), NOSPLIT, $24-89
	MOVQ cfg+0(FP), DI
	LDTILECFG(7)
	MOVQ $32, R8
	MOVQ $64, CX
	XORL R11, R11
	MOVQ sums+40(FP), R12
	LEAQ SUMS(R12), R13
	LEAQ SUMS(R13), AX
	MOVQ AX, start-8(SP)
	MOVQ chunks+8(FP), AX
	MOVQ AX, chunksAhead-24(SP)
	MOVQ rows+24(FP), SI
	MOVQ SI, DX
	MOVQ panels+32(FP), BX
	MOVQ c+48(FP), DI
	FIRST(0)
	SAVE(5, R12, 1024)
	SAVE(6, R12, 2048)
	SAVE(7, R12, 3072)
	FIRST(4096)
	SAVE(5, R12, 5120)
	SAVE(6, R12, 6144)
	SAVE(7, R12, 7168)
	XCHGQ R12, R13
	AHEAD(second)
	FIRST(0)
	MOVQ next+72(FP), AX

strip:
	MOVQ chunks+8(FP), R15
	MOVQ R15, chunksLeft-16(SP)
	MOVQ panels+32(FP), R14
	MOVBLZX resume+88(FP), R15
	NEGL R15
	KMOVW R15, K1

chunk:
	MOVQ DI, R10
	MOVQ $128, R9
	CMPQ chunksLeft-16(SP), $1
	JNE  multiply
	MOVQ out+56(FP), R10
	MOVQ ldc+64(FP), R9
	SHLQ $2, R9

multiply:
	GROUP(0, LOAD0, PRODUCT0, SAVE(5, R12, 1024), LOAD1, PRODUCT1, SAVE(6, R12, 2048))
	GROUP(1, LOAD2, PRODUCT2, SAVE(7, R12, 3072), LOAD3, PRODUCT3, SAVE(4, R12, 4096))
	AHEAD(ahead)
	GROUP(2, LOAD0, PRODUCT0, SAVE(5, R12, 5120), LOAD1, PRODUCT1, SAVE(6, R12, 6144))
	GROUP(3, LOAD2, PRODUCT2, SAVE(7, R12, 7168), LOAD3, PRODUCT3, SAVE(4, R13, 0))
	XCHGQ R12, R13
	ADDQ $(2*BLOCK), R14
	ADDQ $(2*BLOCKA), DX
	MOVL $0xffff, R15
	KMOVW R15, K1
	DECQ chunksLeft-16(SP)
	JEQ  next
	SUBQ $4096, DI
	JMP  chunk

next:
	MOVQ R10, out+56(FP)
	DECQ strips+16(FP)
	JNZ  strip
	TILERELEASE
	VZEROUPPER
	RET

// func joinRowsQ8(dst, src *byte, rowStep, blocks int)
TEXT ·joinRowsQ8(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ rowStep+16(FP), R8
	LEAQ SCALES(DI), DX
	MOVQ $32, R9

row:
	MOVQ blocks+24(FP), CX
	MOVQ SI, AX
	XORL R10, R10

block:
	VMOVDQU (AX), Y0
	MOVL 32(AX), BX
	VMOVDQU Y0, (DI)(R10*1)
	MOVL BX, (DX)(R10*1)
	ADDQ $40, AX
	ADDQ $BLOCKA, R10
	DECQ CX
	JNZ  block
	ADDQ R8, SI
	ADDQ $32, DI
	ADDQ $4, DX
	DECQ R9
	JNZ  row
	VZEROUPPER
	RET

DATA widen<>+0(SB)/4, $0x80808080 // 128 in each byte
DATA widen<>+4(SB)/4, $0x0f0f0f0f // the lower half of each byte
DATA widen<>+8(SB)/4, $0x08080808 // 8 in each byte
DATA widen<>+12(SB)/4, $0x4b400000 // 1.5·2²³
GLOBL widen<>(SB), RODATA|NOPTR, $16

// WIDENING leads DI to the integers and DX to the scales of the first or second panel
// of a pair, and sets the constants in Z28 to Z31.
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
