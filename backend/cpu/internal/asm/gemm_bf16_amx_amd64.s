//go:build !noasm

#include "textflag.h"
#include "amx_amd64.h"

// Each kernel computes blocks of C: one or two strips of up to 16 rows by a
// group of panels, in tiles 4 to 7. It computes all strips for one group after
// the other, so that the group stays in the first-level cache while A streams
// through. A step multiplies 16 rows × 32 columns of A, in tile 0, and those of
// the second strip, in tile 1, by 32 rows of each panel of B, in tiles 2 and 3.
// A panel is a row of such tiles, 1 KiB each.
//
// SI and DX point into the strips of A, R8 is A's row stride; BX, R12, R9 and
// R10 point into the panels, R14 is 64, the row stride of their tiles; DI
// points to C, R11 is its row stride and AX points to a block of it; all in
// bytes. R15 counts the strips. The arguments panel, c and groups are advanced
// from group to group.

#define ARGS \
	MOVQ cfg+0(FP), DI \
	LDTILECFG(7) \
	MOVQ ars+24(FP), R8 \
	SHLQ $1, R8 \
	SHLQ $1, panelStep+40(FP) \
	MOVQ ldc+56(FP), R11 \
	SHLQ $2, R11 \
	MOVQ $64, R14

#define GROUP \
	MOVQ a+16(FP), SI \
	MOVQ c+48(FP), DI \
	MOVQ strips+72(FP), R15

// NEXT continues with the next group of panels, or returns after the last.
#define NEXT(panels, group) \
	MOVQ panelStep+40(FP), AX \
	IMULQ $panels, AX \
	ADDQ AX, panel+32(FP) \
	ADDQ $(64*panels), c+48(FP) \
	DECQ groups+64(FP) \
	JNZ  group \
	TILERELEASE \
	RET

// SECOND sets AX to the second strip of C.
#define SECOND \
	MOVQ R11, AX \
	SHLQ $4, AX \
	ADDQ DI, AX

// SQUARE applies OP to the blocks of C of two strips and two panels, ROW to
// those of one strip and four panels.
#define SQUARE(OP) \
	OP(4, 7, 11) \
	LEAQ 64(DI), AX \
	OP(5, 0, 11) \
	SECOND \
	OP(6, 0, 11) \
	ADDQ $64, AX \
	OP(7, 0, 11)

#define ROW(OP) \
	OP(4, 7, 11) \
	LEAQ 64(DI), AX \
	OP(5, 0, 11) \
	LEAQ 128(DI), AX \
	OP(6, 0, 11) \
	LEAQ 192(DI), AX \
	OP(7, 0, 11)

#define ZERO TILEZERO(4); TILEZERO(5); TILEZERO(6); TILEZERO(7)

// START sets DX to the second strip of A and BX to the panels.
#define START \
	MOVQ R8, DX \
	SHLQ $4, DX \
	ADDQ SI, DX \
	MOVQ panel+32(FP), BX

// STRIP continues with the next two strips, if there are any. It moves DX back
// by its steps to the start of the second strip; the next strip starts 16 rows
// later.
#define STRIP(strip) \
	MOVQ steps+8(FP), CX \
	SHLQ $6, CX \
	SUBQ CX, DX \
	MOVQ R8, SI \
	SHLQ $4, SI \
	ADDQ DX, SI \
	MOVQ R11, AX \
	SHLQ $5, AX \
	ADDQ AX, DI \
	DECQ R15 \
	JNZ  strip

// BOTH computes a step of two strips and two panels, with EACH between its
// products.
#define BOTH(EACH) \
	TILELOAD(2, 3, 14) \
	TILESTREAM(0, 6, 8) \
	TDPBF16PS(4, 0, 2) \
	PREFETCHT1 (R9) \
	PREFETCHT1 64(R9) \
	TILELOAD(3, 12, 14) \
	TDPBF16PS(5, 0, 3) \
	PREFETCHT1 (R10) \
	PREFETCHT1 64(R10) \
	TILESTREAM(1, 2, 8) \
	TDPBF16PS(6, 1, 2) \
	EACH \
	TDPBF16PS(7, 1, 3) \
	ADDQ $64, SI \
	ADDQ $64, DX \
	ADDQ $1024, BX \
	ADDQ $1024, R12 \
	ADDQ ahead-40(SP), R9 \
	ADDQ ahead-40(SP), R10

#define NOTHING

// FETCHW is PREFETCHW offset(R13), which the assembler does not know.
#define FETCHW(offset) BYTE $0x41; BYTE $0x0F; BYTE $0x0D; BYTE $0x4D; BYTE $offset

// OWN prefetches two rows of the next group's C for writing.
#define OWN \
	FETCHW(0) \
	FETCHW(64) \
	ADDQ R11, R13 \
	FETCHW(0) \
	FETCHW(64) \
	ADDQ R11, R13

// func tiles2x2(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
//	groups, strips, block int, resume, more bool)
TEXT ·tiles2x2(SB), NOSPLIT, $56-90
	ARGS

	// While a block of K is multiplied, the next block of the panels, perhaps
	// of the next group, is prefetched into the second-level cache, spread over
	// all strips. With the first block, the next group's C is prefetched too,
	// if owns is set. A single pair of strips reads panels in order, which the
	// processor detects itself: then only the start of the next group is
	// prefetched.
	MOVQ $128, AX
	CMPQ strips+72(FP), $1
	JEQ  alone
	MOVQ $1024, AX
	XORL DX, DX
	DIVQ strips+72(FP)

alone:
	MOVQ AX, ahead-40(SP)

group:
	MOVQ steps+8(FP), AX
	MOVQ AX, left-8(SP)
	MOVQ a+16(FP), SI
	MOVQ SI, block0-16(SP)
	MOVQ panel+32(FP), BX
	MOVQ BX, block1-24(SP)
	MOVBQZX resume+88(FP), AX
	MOVQ AX, resumes-48(SP)
	MOVBQZX more+89(FP), AX
	ADDQ groups+64(FP), AX
	DECQ AX
	MOVQ AX, owns-56(SP)

block:
	MOVQ block+80(FP), CX
	CMPQ CX, left-8(SP)
	CMOVQGT left-8(SP), CX
	MOVQ CX, now-32(SP)
	SHLQ $10, CX
	MOVQ block1-24(SP), R9
	ADDQ CX, R9
	MOVQ now-32(SP), CX
	SUBQ CX, left-8(SP)
	JNE  ahead
	MOVQ panel+32(FP), R9
	MOVQ panelStep+40(FP), AX
	LEAQ (R9)(AX*2), R9

ahead:
	MOVQ panelStep+40(FP), R10
	ADDQ R9, R10
	MOVQ block0-16(SP), SI
	MOVQ c+48(FP), DI
	MOVQ strips+72(FP), R15

strip:
	CMPQ resumes-48(SP), $0
	JEQ  zero
	SQUARE(TILELOAD)
	JMP  start

zero:
	ZERO

start:
	MOVQ R8, DX
	SHLQ $4, DX
	ADDQ SI, DX
	MOVQ block1-24(SP), BX
	MOVQ panelStep+40(FP), R12
	ADDQ BX, R12
	LEAQ 128(DI), R13
	MOVQ now-32(SP), CX
	CMPQ owns-56(SP), $0
	JEQ  loop

owning:
	BOTH(OWN)
	DECQ CX
	JNZ  owning
	JMP  stored

loop:
	BOTH(NOTHING)
	DECQ CX
	JNZ  loop

stored:
	SQUARE(TILESTORE)
	MOVQ now-32(SP), CX
	SHLQ $6, CX
	SUBQ CX, DX
	MOVQ R8, SI
	SHLQ $4, SI
	ADDQ DX, SI
	MOVQ R11, AX
	SHLQ $5, AX
	ADDQ AX, DI
	DECQ R15
	JNZ  strip

	MOVQ $1, resumes-48(SP)
	MOVQ $0, owns-56(SP)
	ADDQ CX, block0-16(SP)
	SHLQ $4, CX
	ADDQ CX, block1-24(SP)
	CMPQ left-8(SP), $0
	JNE  block
	NEXT(2, group)

// func tiles2x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
//	groups, strips int, resume bool)
TEXT ·tiles2x1(SB), NOSPLIT, $0-81
	ARGS

group:
	GROUP

strip:
	SECOND
	CMPB resume+80(FP), $0
	JEQ  zero
	TILELOAD(4, 7, 11)
	TILELOAD(6, 0, 11)
	JMP  start

zero:
	TILEZERO(4)
	TILEZERO(6)

start:
	START
	MOVQ steps+8(FP), CX

loop:
	TILELOAD(2, 3, 14)
	TILESTREAM(0, 6, 8)
	TDPBF16PS(4, 0, 2)
	TILESTREAM(1, 2, 8)
	TDPBF16PS(6, 1, 2)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $1024, BX
	DECQ CX
	JNZ  loop
	TILESTORE(4, 7, 11)
	TILESTORE(6, 0, 11)
	STRIP(strip)
	NEXT(1, group)

// AHEAD prefetches the tile of a panel that is needed four steps later: with
// few rows, the time goes into reading B.
#define AHEAD(panel) \
	PREFETCHT1 4096(panel); PREFETCHT1 4224(panel); PREFETCHT1 4352(panel); PREFETCHT1 4480(panel) \
	PREFETCHT1 4608(panel); PREFETCHT1 4736(panel); PREFETCHT1 4864(panel); PREFETCHT1 4992(panel)

// func tiles1x4(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
//	groups int, resume bool)
TEXT ·tiles1x4(SB), NOSPLIT, $0-73
	ARGS

group:
	MOVQ a+16(FP), SI
	MOVQ c+48(FP), DI
	CMPB resume+72(FP), $0
	JEQ  zero
	ROW(TILELOAD)
	JMP  start

zero:
	ZERO

start:
	MOVQ steps+8(FP), CX
	MOVQ panel+32(FP), BX
	MOVQ panelStep+40(FP), DX
	LEAQ (BX)(DX*1), R12
	LEAQ (BX)(DX*2), R9
	LEAQ (R12)(DX*2), R10

loop:
	TILELOAD(0, 6, 8)
	TILELOAD(2, 3, 14)
	TDPBF16PS(4, 0, 2)
	AHEAD(BX)
	TILELOAD(3, 12, 14)
	TDPBF16PS(5, 0, 3)
	AHEAD(R12)
	TILELOAD(2, 9, 14)
	TDPBF16PS(6, 0, 2)
	AHEAD(R9)
	TILELOAD(3, 10, 14)
	TDPBF16PS(7, 0, 3)
	AHEAD(R10)
	ADDQ $64, SI
	ADDQ $1024, BX
	ADDQ $1024, R12
	ADDQ $1024, R9
	ADDQ $1024, R10
	DECQ CX
	JNZ  loop
	ROW(TILESTORE)
	NEXT(4, group)

// func tiles1x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc,
//	groups int, resume bool)
TEXT ·tiles1x1(SB), NOSPLIT, $0-73
	ARGS

group:
	MOVQ a+16(FP), SI
	MOVQ c+48(FP), DI
	CMPB resume+72(FP), $0
	JEQ  zero
	TILELOAD(4, 7, 11)
	JMP  start

zero:
	TILEZERO(4)

start:
	MOVQ steps+8(FP), CX
	MOVQ panel+32(FP), BX

loop:
	TILELOAD(0, 6, 8)
	TILELOAD(2, 3, 14)
	TDPBF16PS(4, 0, 2)
	ADDQ $64, SI
	ADDQ $1024, BX
	DECQ CX
	JNZ  loop
	TILESTORE(4, 7, 11)
	NEXT(1, group)

// func tileLoop(cfg *tileConfig, n int)
TEXT ·tileLoop(SB), NOSPLIT, $0-16
	TILELOOP(TDPBF16PS)
