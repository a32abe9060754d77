// AMX instructions, which the assembler does not know. The operands are
// register numbers: t, d, a and b are tiles 0 to 7; base and index are general
// registers, AX 0, CX 1, DX 2, BX 3, SI 6, DI 7, R8 to R15 8 to 15. base must
// not be 5 or 13, whose encoding means something else.

#define VEX(p, base, index) BYTE $0xC4; BYTE $(0xE2 - index/8*0x40 - base/8*0x20); BYTE $p
#define SIB(t, base, index) BYTE $(0x04 | t*8); BYTE $(index%8*8 | base%8)

// LDTILECFG loads the shapes of all tiles from the 64 bytes at base and clears
// the tiles. base must not be 4 or 12.
#define LDTILECFG(base) VEX(0x78, base, 0); BYTE $0x49; BYTE $(base%8)
#define TILERELEASE VEX(0x78, 0, 0); BYTE $0x49; BYTE $0xC0
#define TILEZERO(t) VEX(0x7B, 0, 0); BYTE $0x49; BYTE $(0xC0 | t*8)

// TILELOAD and TILESTORE load and store tile t, whose rows are at base, index
// bytes apart. TILESTREAM is a load that does not displace the first-level
// cache (TILELOADDT1).
#define TILELOAD(t, base, index) VEX(0x7B, base, index); BYTE $0x4B; SIB(t, base, index)
#define TILESTREAM(t, base, index) VEX(0x79, base, index); BYTE $0x4B; SIB(t, base, index)
#define TILESTORE(t, base, index) VEX(0x7A, base, index); BYTE $0x4B; SIB(t, base, index)

// TDPBF16PS and TDPBSSD add the product of tiles a and b to tile d: of pairs of
// bf16 in float32, and of groups of four signed bytes in int32.
#define TDPBF16PS(d, a, b) BYTE $0xC4; BYTE $0xE2; BYTE $(0x02 | (15-b)*8); BYTE $0x5C; BYTE $(0xC0 | d*8 | a)
#define TDPBSSD(d, a, b) BYTE $0xC4; BYTE $0xE2; BYTE $(0x03 | (15-b)*8); BYTE $0x5E; BYTE $(0xC0 | d*8 | a)

// TILELOOP is the body of a function with arguments (cfg *tileConfig, n int)
// that runs n rounds of four products.
#define TILELOOP(OP) \
	MOVQ cfg+0(FP), DI \
	LDTILECFG(7) \
	MOVQ n+8(FP), CX \
loop: \
	OP(4, 0, 2) \
	OP(5, 0, 3) \
	OP(6, 1, 2) \
	OP(7, 1, 3) \
	DECQ CX \
	JNZ  loop \
	TILERELEASE \
	RET
