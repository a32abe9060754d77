// Rounding of sixteen float32 to bf16. Files include this after textflag.h.

DATA roundBias<>+0(SB)/4, $0x7fff
GLOBL roundBias<>(SB), RODATA|NOPTR, $4
DATA lastKept<>+0(SB)/4, $0x10000
GLOBL lastKept<>(SB), RODATA|NOPTR, $4
DATA lsb<>+0(SB)/4, $1
GLOBL lsb<>(SB), RODATA|NOPTR, $4
DATA quiet<>+0(SB)/4, $0x400000
GLOBL quiet<>(SB), RODATA|NOPTR, $4

// ROUNDING512 sets the constants of ROUND512, in Z28 to Z31.
#define ROUNDING512 \
	VPBROADCASTD roundBias<>(SB), Z28 \
	VPBROADCASTD lastKept<>(SB), Z29  \
	VPBROADCASTD lsb<>(SB), Z30       \
	VPBROADCASTD quiet<>(SB), Z31

// ROUND512 leaves the sixteen floats of x, rounded to bf16, in the upper halves
// of r; the lower halves are undefined. It clobbers K6 and K7.
#define ROUND512(x, r) \
	VPTESTMD Z29, x, K6      \
	VCMPPS $3, x, x, K7      \ // NaN?
	VPADDD Z28, x, r         \
	VPADDD Z30, r, K6, r     \
	VPORD Z31, x, K7, r

// upperHalves are the indices of the upper halves of dwords among the words of
// two vectors.
#define UPPERHALVES(off, four) DATA upperHalves<>+off(SB)/8, four
UPPERHALVES(0, $0x0007000500030001)
UPPERHALVES(8, $0x000f000d000b0009)
UPPERHALVES(16, $0x0017001500130011)
UPPERHALVES(24, $0x001f001d001b0019)
UPPERHALVES(32, $0x0027002500230021)
UPPERHALVES(40, $0x002f002d002b0029)
UPPERHALVES(48, $0x0037003500330031)
UPPERHALVES(56, $0x003f003d003b0039)
GLOBL upperHalves<>(SB), RODATA|NOPTR, $64
