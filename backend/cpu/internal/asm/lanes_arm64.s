//go:build !noasm

#include "textflag.h"

// laneMask is 4 words of ones, then 4 of zeros. Read from word 4-r on, it keeps
// the first r lanes.
DATA ·laneMask+0(SB)/8, $-1
DATA ·laneMask+8(SB)/8, $-1
DATA ·laneMask+16(SB)/8, $0
DATA ·laneMask+24(SB)/8, $0
GLOBL ·laneMask(SB), RODATA|NOPTR, $32
