//go:build !noasm

#include "textflag.h"

// laneMask is 32 words of ones, then 32 of zeros. Read from word 32-r on, it
// keeps the first r lanes.
#define ONES(off) DATA ·laneMask+off(SB)/8, $-1
#define ONES32(off) ONES(off); ONES(off+8); ONES(off+16); ONES(off+24)
ONES32(0); ONES32(32); ONES32(64); ONES32(96)
GLOBL ·laneMask(SB), RODATA|NOPTR, $256
