// Rounding of float32 to bf16, used by the conversions and by packing.

// ROUNDING sets the constants of ROUND, in Y12 to Y15.
#define ROUNDING \
	VPCMPEQD Y15, Y15, Y15 \
	VPSRLD $17, Y15, Y12 \ // 0x7fff
	VPSRLD $31, Y15, Y13 \ // 1
	VPSLLD $22, Y13, Y14   // 0x400000

// ROUND leaves the eight floats of x, rounded to bf16, in the upper halves of r;
// the lower halves are undefined. It clobbers s and t.
#define ROUND(x, r, s, t) \
	VPSRLD $16, x, r \
	VPAND Y13, r, r \
	VPADDD Y12, x, s \
	VCMPPS $3, x, x, t \ // NaN?
	VPADDD s, r, r \
	VPOR Y14, x, s \
	VBLENDVPS t, s, r, r
