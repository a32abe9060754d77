// The vector exponential. Files include this after textflag.h.

// EIGHT defines eight copies of a 32-bit constant, given twice in 64 bits.
#define EIGHT(name, bits) \
	DATA name<>+0(SB)/8, bits  \
	DATA name<>+8(SB)/8, bits  \
	DATA name<>+16(SB)/8, bits \
	DATA name<>+24(SB)/8, bits \
	GLOBL name<>(SB), RODATA|NOPTR, $32

// The constants of exp.go.
EIGHT(expMax, $0x42b2000042b20000) // 89.0
EIGHT(expMin, $0xc2d00000c2d00000) // -104.0
EIGHT(log2e, $0x3fb8aa3b3fb8aa3b) // 1.4426950408889634
EIGHT(ln2Hi, $0x3f3180003f318000) // 0.693359375
EIGHT(ln2Lo, $0xb95e8083b95e8083) // -0.00021219444
EIGHT(exp0, $0x3950696739506967) // 0.000198756915
EIGHT(exp1, $0x3ab743ce3ab743ce) // 0.0013981999507
EIGHT(exp2, $0x3c0889083c088908) // 0.0083334519073
EIGHT(exp3, $0x3d2aa9c13d2aa9c1) // 0.041665795894
EIGHT(exp4, $0x3e2aaaaa3e2aaaaa) // 0.16666665459
EIGHT(exp5, $0x3f0000003f000000) // 0.50000001201
EIGHT(one, $0x3f8000003f800000) // 1.0
EIGHT(bias, $0x0000007f0000007f) // 127, of the exponent
EIGHT(signBit, $0x8000000080000000)

// EXP replaces Y0 by its exponential, as exp32 does. It clobbers Y1 to Y3. If
// either operand is NaN, VMINPS and VMAXPS return the second, here Y0.
#define EXP \
	VMOVUPS expMax<>(SB), Y1          \
	VMINPS Y0, Y1, Y0                 \
	VMOVUPS expMin<>(SB), Y1          \
	VMAXPS Y0, Y1, Y0                 \
	VMULPS log2e<>(SB), Y0, Y1        \
	VROUNDPS $0, Y1, Y1               \
	VFNMADD231PS ln2Hi<>(SB), Y1, Y0  \
	VFNMADD231PS ln2Lo<>(SB), Y1, Y0  \
	VMOVUPS exp0<>(SB), Y2            \
	VFMADD213PS exp1<>(SB), Y0, Y2    \
	VFMADD213PS exp2<>(SB), Y0, Y2    \
	VFMADD213PS exp3<>(SB), Y0, Y2    \
	VFMADD213PS exp4<>(SB), Y0, Y2    \
	VFMADD213PS exp5<>(SB), Y0, Y2    \
	VMULPS Y0, Y0, Y3                 \
	VFMADD213PS Y0, Y3, Y2            \
	VADDPS one<>(SB), Y2, Y2          \
	VCVTPS2DQ Y1, Y1                  \
	VPSRAD $1, Y1, Y3                 \
	VPSUBD Y3, Y1, Y1                 \
	VPADDD bias<>(SB), Y1, Y1         \
	VPADDD bias<>(SB), Y3, Y3         \
	VPSLLD $23, Y1, Y1                \
	VPSLLD $23, Y3, Y3                \
	VMULPS Y1, Y2, Y0                 \
	VMULPS Y3, Y0, Y0

// EXP512 replaces Z0 by its exponential, using the constants in Z10 to Z20; it
// clobbers Z1 to Z3. VSCALEFPS rounds once, like EXP's multiplication by the
// last factor.
#define EXP512 \
	VMINPS Z0, Z10, Z0          \
	VMAXPS Z0, Z11, Z0          \
	VMULPS Z12, Z0, Z1          \
	VRNDSCALEPS $0, Z1, Z1      \
	VFNMADD231PS Z13, Z1, Z0    \
	VFNMADD231PS Z14, Z1, Z0    \
	VMOVAPS Z15, Z2             \
	VFMADD213PS Z16, Z0, Z2     \
	VFMADD213PS Z17, Z0, Z2     \
	VFMADD213PS Z18, Z0, Z2     \
	VFMADD213PS Z19, Z0, Z2     \
	VFMADD213PS Z20, Z0, Z2     \
	VMULPS Z0, Z0, Z3           \
	VFMADD213PS Z0, Z3, Z2      \
	VADDPS Z21, Z2, Z2          \
	VSCALEFPS Z1, Z2, Z0

#define CONSTANTS512 \
	VBROADCASTSS expMax<>(SB), Z10 \
	VBROADCASTSS expMin<>(SB), Z11 \
	VBROADCASTSS log2e<>(SB), Z12  \
	VBROADCASTSS ln2Hi<>(SB), Z13  \
	VBROADCASTSS ln2Lo<>(SB), Z14  \
	VBROADCASTSS exp0<>(SB), Z15   \
	VBROADCASTSS exp1<>(SB), Z16   \
	VBROADCASTSS exp2<>(SB), Z17   \
	VBROADCASTSS exp3<>(SB), Z18   \
	VBROADCASTSS exp4<>(SB), Z19   \
	VBROADCASTSS exp5<>(SB), Z20   \
	VBROADCASTSS one<>(SB), Z21
