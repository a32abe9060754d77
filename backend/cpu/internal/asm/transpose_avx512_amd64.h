// TRANSPOSE512 transposes the sixteen vectors of sixteen dwords in Z0 to Z15;
// it clobbers Z16 to Z19. FOURDWORDS turns four rows into vectors u, where
// quarter q of u[r] has the four elements of column 4q+r. QUARTERS collects the
// quarters of four such vectors into the columns r, 4+r, 8+r and 12+r.

#define FOURDWORDS(a0, a1, a2, a3) \
	VUNPCKLPS a1, a0, Z16       \
	VUNPCKHPS a1, a0, Z17       \
	VUNPCKLPS a3, a2, Z18       \
	VUNPCKHPS a3, a2, Z19       \
	VUNPCKLPD Z18, Z16, a0      \
	VUNPCKHPD Z18, Z16, a1      \
	VUNPCKLPD Z19, Z17, a2      \
	VUNPCKHPD Z19, Z17, a3

#define QUARTERS(u0, u1, u2, u3) \
	VSHUFF32X4 $0x44, u1, u0, Z16 \
	VSHUFF32X4 $0xEE, u1, u0, Z17 \
	VSHUFF32X4 $0x44, u3, u2, Z18 \
	VSHUFF32X4 $0xEE, u3, u2, Z19 \
	VSHUFF32X4 $0x88, Z18, Z16, u0 \
	VSHUFF32X4 $0xDD, Z18, Z16, u1 \
	VSHUFF32X4 $0x88, Z19, Z17, u2 \
	VSHUFF32X4 $0xDD, Z19, Z17, u3

#define TRANSPOSE512 \
	FOURDWORDS(Z0, Z1, Z2, Z3)      \
	FOURDWORDS(Z4, Z5, Z6, Z7)      \
	FOURDWORDS(Z8, Z9, Z10, Z11)    \
	FOURDWORDS(Z12, Z13, Z14, Z15)  \
	QUARTERS(Z0, Z4, Z8, Z12)       \
	QUARTERS(Z1, Z5, Z9, Z13)       \
	QUARTERS(Z2, Z6, Z10, Z14)      \
	QUARTERS(Z3, Z7, Z11, Z15)
