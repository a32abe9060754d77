//go:build !noasm

#include "textflag.h"
#include "amx_amd64.h"

// Each kernel computes one or two strips of up to 16 rows of C for one group of
// panels after the other, and holds a group's block of C in tiles 4 to 7. A step
// multiplies 16 rows × 32 columns of A, in tile 0, and of the second strip, in tile
// 1, with 32 rows of each panel of B, in tiles 2 and 3: a panel is a row of such
// tiles, 1 KiB each.
//
// SI and DX walk the strips of A, R8 is A's row stride; BX, R12, R9 and R10 walk the
// panels, R14 is 64, the row stride of their tiles; DI is C, R11 its row stride and
// AX a block of it; R15 counts the groups; all in bytes.

#define ARGS \
	MOVQ cfg+0(FP), DI \
	LDTILECFG(7) \
	MOVQ ars+24(FP), R8 \
	SHLQ $1, R8 \
	MOVQ panel+32(FP), BX \
	MOVQ c+48(FP), DI \
	MOVQ ldc+56(FP), R11 \
	SHLQ $2, R11 \
	MOVQ groups+64(FP), R15 \
	MOVQ $64, R14

// STRIPS leads SI and DX to the two strips of A, and CX counts the steps.
#define STRIPS \
	MOVQ a+16(FP), SI \
	MOVQ R8, DX \
	SHLQ $4, DX \
	ADDQ SI, DX \
	MOVQ steps+8(FP), CX

// SECOND leads AX to the second strip of C.
#define SECOND \
	MOVQ R11, AX \
	SHLQ $4, AX \
	ADDQ DI, AX

// func tiles2x2(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups int, resume bool)
TEXT ·tiles2x2(SB), NOSPLIT, $0-73
	ARGS

next:
	CMPB resume+72(FP), $0
	JEQ  zero
	TILELOAD(4, 7, 11)
	LEAQ 64(DI), AX
	TILELOAD(5, 0, 11)
	SECOND
	TILELOAD(6, 0, 11)
	ADDQ $64, AX
	TILELOAD(7, 0, 11)
	JMP  start

zero:
	TILEZERO(4)
	TILEZERO(5)
	TILEZERO(6)
	TILEZERO(7)

start:
	STRIPS
	MOVQ panelStep+40(FP), R12
	LEAQ (BX)(R12*2), R12
	MOVQ R12, R9
	SUBQ BX, R9
	ADDQ R12, R9 // the next group

loop:
	TILELOAD(0, 6, 8)
	TILELOAD(2, 3, 14)
	TDPBF16PS(4, 0, 2)
	TILELOAD(3, 12, 14)
	TDPBF16PS(5, 0, 3)
	TILELOAD(1, 2, 8)
	TDPBF16PS(6, 1, 2)
	TDPBF16PS(7, 1, 3)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $1024, BX
	ADDQ $1024, R12
	DECQ CX
	JNZ  loop
	TILESTORE(4, 7, 11)
	LEAQ 64(DI), AX
	TILESTORE(5, 0, 11)
	SECOND
	TILESTORE(6, 0, 11)
	ADDQ $64, AX
	TILESTORE(7, 0, 11)
	MOVQ R9, BX
	ADDQ $128, DI
	DECQ R15
	JNZ  next
	TILERELEASE
	RET

// func tiles2x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups int, resume bool)
TEXT ·tiles2x1(SB), NOSPLIT, $0-73
	ARGS

next:
	SECOND
	CMPB resume+72(FP), $0
	JEQ  zero
	TILELOAD(4, 7, 11)
	TILELOAD(6, 0, 11)
	JMP  start

zero:
	TILEZERO(4)
	TILEZERO(6)

start:
	STRIPS
	MOVQ panelStep+40(FP), R9
	LEAQ (BX)(R9*2), R9 // the next panel

loop:
	TILELOAD(0, 6, 8)
	TILELOAD(2, 3, 14)
	TDPBF16PS(4, 0, 2)
	TILELOAD(1, 2, 8)
	TDPBF16PS(6, 1, 2)
	ADDQ $64, SI
	ADDQ $64, DX
	ADDQ $1024, BX
	DECQ CX
	JNZ  loop
	TILESTORE(4, 7, 11)
	TILESTORE(6, 0, 11)
	MOVQ R9, BX
	ADDQ $64, DI
	DECQ R15
	JNZ  next
	TILERELEASE
	RET

// func tiles1x4(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups int, resume bool)
TEXT ·tiles1x4(SB), NOSPLIT, $0-73
	ARGS

next:
	CMPB resume+72(FP), $0
	JEQ  zero
	TILELOAD(4, 7, 11)
	LEAQ 64(DI), AX
	TILELOAD(5, 0, 11)
	LEAQ 128(DI), AX
	TILELOAD(6, 0, 11)
	LEAQ 192(DI), AX
	TILELOAD(7, 0, 11)
	JMP  start

zero:
	TILEZERO(4)
	TILEZERO(5)
	TILEZERO(6)
	TILEZERO(7)

start:
	MOVQ a+16(FP), SI
	MOVQ steps+8(FP), CX
	MOVQ panelStep+40(FP), DX
	LEAQ (BX)(DX*2), R12
	LEAQ (R12)(DX*2), R9
	LEAQ (R9)(DX*2), R10
	LEAQ (R10)(DX*2), DX // the next group

loop:
	TILELOAD(0, 6, 8)
	TILELOAD(2, 3, 14)
	TDPBF16PS(4, 0, 2)
	TILELOAD(3, 12, 14)
	TDPBF16PS(5, 0, 3)
	TILELOAD(2, 9, 14)
	TDPBF16PS(6, 0, 2)
	TILELOAD(3, 10, 14)
	TDPBF16PS(7, 0, 3)
	ADDQ $64, SI
	ADDQ $1024, BX
	ADDQ $1024, R12
	ADDQ $1024, R9
	ADDQ $1024, R10
	DECQ CX
	JNZ  loop
	TILESTORE(4, 7, 11)
	LEAQ 64(DI), AX
	TILESTORE(5, 0, 11)
	LEAQ 128(DI), AX
	TILESTORE(6, 0, 11)
	LEAQ 192(DI), AX
	TILESTORE(7, 0, 11)
	MOVQ DX, BX
	ADDQ $256, DI
	DECQ R15
	JNZ  next
	TILERELEASE
	RET

// func tiles1x1(cfg *tileConfig, steps int, a *uint16, ars int, panel *uint16, panelStep int, c *float32, ldc, groups int, resume bool)
TEXT ·tiles1x1(SB), NOSPLIT, $0-73
	ARGS

next:
	CMPB resume+72(FP), $0
	JEQ  zero
	TILELOAD(4, 7, 11)
	JMP  start

zero:
	TILEZERO(4)

start:
	MOVQ a+16(FP), SI
	MOVQ steps+8(FP), CX
	MOVQ panelStep+40(FP), R9
	LEAQ (BX)(R9*2), R9 // the next panel

loop:
	TILELOAD(0, 6, 8)
	TILELOAD(2, 3, 14)
	TDPBF16PS(4, 0, 2)
	ADDQ $64, SI
	ADDQ $1024, BX
	DECQ CX
	JNZ  loop
	TILESTORE(4, 7, 11)
	MOVQ R9, BX
	ADDQ $64, DI
	DECQ R15
	JNZ  next
	TILERELEASE
	RET

// func tileLoop(cfg *tileConfig, n int)
TEXT ·tileLoop(SB), NOSPLIT, $0-16
	MOVQ cfg+0(FP), DI
	LDTILECFG(7)
	MOVQ n+8(FP), CX

loop:
	TDPBF16PS(4, 0, 2)
	TDPBF16PS(5, 0, 3)
	TDPBF16PS(6, 1, 2)
	TDPBF16PS(7, 1, 3)
	DECQ CX
	JNZ  loop
	TILERELEASE
	RET
