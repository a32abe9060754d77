package asm

// A bf16 number is the upper half of a float32, here stored as a uint16.

// PackedSizeBF16 returns the length of the packed form of a K×N matrix, in
// elements.
func PackedSizeBF16(k, n int) int {
	return (n + PanelWidth - 1) / PanelWidth * PanelWidth * even(k)
}

// RowStrideBF16 returns the distance between the rows that RowsBF16 writes, in
// elements: an odd number of cache lines, since rows a power of two apart
// compete for a few cache sets.
func RowStrideBF16(k int) int { return ((k+31)/32 | 1) * 32 }

// RowsSizeBF16 returns the length of the rows of an M×K matrix, in elements.
func RowsSizeBF16(m, k int) int { return m * RowStrideBF16(k) }

// even rounds k up to an even number: products are computed for pairs of k.
func even(k int) int { return (k + 1) &^ 1 }

// PackBF16 rounds the K×N matrix b, with element (p,j) at b[p*rs+j*cs], to bf16
// like ToBF16 and packs it into panels of PanelWidth columns in which the two
// elements of a pair of k are adjacent: with K2 = K rounded up to even, element
// (p,j) goes to dst[(j/16)*16*K2 + (p/2)*32 + (j%16)*2 + p%2]. Missing columns
// of the last panel and the missing k of an odd K become zeros. dst has
// PackedSizeBF16(k, n) elements.
//
// Panels are independent: columns j0 to j1, with j0 a multiple of PanelWidth,
// are packed by PackBF16(dst[j0*K2:], b[j0*cs:], k, j1-j0, rs, cs).
func PackBF16(dst []uint16, b []float32, k, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("PackBF16", "dst", len(dst), PackedSizeBF16(k, n))
	need("PackBF16", "b", len(b), extent(k, n, rs, cs))
	packBF16(dst, b, k, n, rs, cs)
}

// PackBF16Bits is PackBF16 for a matrix that is bf16 already.
func PackBF16Bits(dst, b []uint16, k, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("PackBF16Bits", "dst", len(dst), PackedSizeBF16(k, n))
	need("PackBF16Bits", "b", len(b), extent(k, n, rs, cs))
	packBF16Bits(dst, b, k, n, rs, cs)
}

// packPanelBF16Generic packs one panel of n ≤ PanelWidth columns.
func packPanelBF16Generic(dst []uint16, b []float32, k, n, rs, cs int) {
	clear(dst)
	for p := range k {
		for j := range n {
			dst[p/2*2*PanelWidth+2*j+p%2] = toBF16(b[p*rs+j*cs])
		}
	}
}

// packPanelBF16BitsGeneric packs one panel of n ≤ PanelWidth columns.
func packPanelBF16BitsGeneric(dst, b []uint16, k, n, rs, cs int) {
	clear(dst)
	for p := range k {
		for j := range n {
			dst[p/2*2*PanelWidth+2*j+p%2] = b[p*rs+j*cs]
		}
	}
}

// RowsBF16 rounds the M×K matrix a, with element (i,p) at a[i*ars+p*acs], to
// bf16 like ToBF16 and writes it in the layout that GemmBF16 reads: element
// (i,p) goes to dst[i*S+p] with S = RowStrideBF16(k), and the missing k of an
// odd K becomes zero. The memory between rows is undefined. So rows i0 to i1
// are RowsBF16(dst[i0*S:], a[i0*ars:], i1-i0, k, ars, acs), and a row-major
// bf16 matrix of even K can be used without RowsBF16. dst has RowsSizeBF16(m,
// k) elements.
func RowsBF16(dst []uint16, a []float32, m, k, ars, acs int) {
	if m <= 0 || k <= 0 {
		return
	}
	need("RowsBF16", "dst", len(dst), RowsSizeBF16(m, k))
	need("RowsBF16", "a", len(a), extent(m, k, ars, acs))
	if acs == 1 {
		k2, stride := even(k), RowStrideBF16(k)
		for i := range m {
			row := dst[i*stride:][:k2]
			ToBF16(row, a[i*ars:][:k])
			clear(row[k:])
		}
		return
	}
	rowsBF16(dst, a, m, k, ars, acs)
}

// RowsBF16Bits is RowsBF16 for a matrix that is bf16 already.
func RowsBF16Bits(dst, a []uint16, m, k, ars, acs int) {
	if m <= 0 || k <= 0 {
		return
	}
	need("RowsBF16Bits", "dst", len(dst), RowsSizeBF16(m, k))
	need("RowsBF16Bits", "a", len(a), extent(m, k, ars, acs))
	if acs == 1 {
		k2, stride := even(k), RowStrideBF16(k)
		for i := range m {
			row := dst[i*stride:][:k2]
			clear(row[copy(row, a[i*ars:][:k]):])
		}
		return
	}
	rowsBF16Bits(dst, a, m, k, ars, acs)
}

// rowsBF16Generic is RowsBF16 for any strides.
func rowsBF16Generic(dst []uint16, a []float32, m, k, ars, acs int) {
	k2, stride := even(k), RowStrideBF16(k)
	for i := range m {
		row := dst[i*stride:][:k2]
		for p := range k {
			row[p] = toBF16(a[i*ars+p*acs])
		}
		clear(row[k:])
	}
}

// rowsBF16BitsGeneric is RowsBF16Bits for any strides.
func rowsBF16BitsGeneric(dst, a []uint16, m, k, ars, acs int) {
	k2, stride := even(k), RowStrideBF16(k)
	for i := range m {
		row := dst[i*stride:][:k2]
		for p := range k {
			row[p] = a[i*ars+p*acs]
		}
		clear(row[k:])
	}
}

// GemmBF16 computes C = A·B, or C += A·B if accumulate is set, from bf16
// operands in float32. A is M×K with K rounded up to even and rows ars apart,
// where ars is RowStrideBF16(k) if RowsBF16 wrote them; bp is B packed by
// PackBF16(bp, …, k, n, …); C is M×N with element (i,j) at c[i*ldc+j].
//
// Each element of C is one chain over pairs of k in ascending order, starting
// from zero or from the stored element. A pair adds its odd product first:
//
//	c = a[i,p+1]·b[p+1,j] + c
//	c = a[i,p]·b[p,j] + c
//
// Each line rounds once, since the product of two bf16 numbers is exact in
// float32. This is the order of the instruction VDPBF16PS, and all paths but
// amx follow it. They differ only in two cases: VDPBF16PS flushes subnormal
// operands, elements of C and sums to zero, and the portable path rounds a
// product that leaves the range of float32.
//
// On path amx, each element of C is a chain over groups of 32 k in ascending
// order, starting from zero or from the stored element. A group, of which the
// last may be shorter, adds the sum of two chains that start from zero, over
// its even and its odd k:
//
//	e = a[i,p]·b[p,j] + e for even p
//	o = a[i,p]·b[p,j] + o for odd p
//	c = c + (e + o)
//
// Each operation rounds once and flushes subnormal operands and results to
// zero. This is the order of the instruction TDPBF16PS.
//
// With K2 = K rounded up to even, rows i0 to i1 are GemmBF16(i1-i0, n, k,
// a[i0*ars:], ars, bp, c[i0*ldc:], …), and columns j0 to j1, with j0 a multiple
// of PanelWidth, are GemmBF16(m, j1-j0, k, a, ars, bp[j0*K2:], c[j0:], …), bit
// for bit. Nor do the bits change if K is split at a multiple of 32 into two
// calls, the second of which accumulates.
func GemmBF16(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	if m <= 0 || n <= 0 {
		return
	}
	needRows("GemmBF16", "c", m, n, ldc)
	need("GemmBF16", "c", len(c), extent(m, n, ldc, 1))
	if k <= 0 {
		if !accumulate {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return
	}
	needRows("GemmBF16", "a", m, even(k), ars)
	need("GemmBF16", "a", len(a), extent(m, even(k), ars, 1))
	need("GemmBF16", "bp", len(bp), PackedSizeBF16(k, n))
	gemmBF16(m, n, even(k), a, ars, bp, c, ldc, accumulate)
}

// gemmBF16Generic is GemmBF16 for even k.
func gemmBF16Generic(m, n, k int, a []uint16, ars int, bp []uint16, c []float32, ldc int, accumulate bool) {
	for i := range m {
		for j := range n {
			panel := bp[j/PanelWidth*PanelWidth*k+j%PanelWidth*2:]
			var sum float32
			if accumulate {
				sum = c[i*ldc+j]
			}
			for p := 0; p < k; p += 2 {
				x, b := a[i*ars+p:][:2], panel[p*PanelWidth:][:2]
				sum += float32(fromBF16(x[1]) * fromBF16(b[1]))
				sum += float32(fromBF16(x[0]) * fromBF16(b[0]))
			}
			c[i*ldc+j] = sum
		}
	}
}

// DotLoopBF16 runs n rounds of independent bf16 dot products in registers, the
// best case of GemmBF16's inner loop, and returns the number of floating-point
// operations. Timing it measures the peak of the kernel path. On a path without
// such an instruction it returns 0 at once.
func DotLoopBF16(n int) (flops int) { return dotLoopBF16(n) }
