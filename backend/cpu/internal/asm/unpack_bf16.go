package asm

import "math"

// UnpackBF16 is the inverse of PackBF16: element (p,j) of the packed K×N matrix
// src goes to dst[p*rs+j*cs].
func UnpackBF16(dst []float32, src []uint16, k, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("UnpackBF16", "src", len(src), PackedSizeBF16(k, n))
	need("UnpackBF16", "dst", len(dst), extent(k, n, rs, cs))
	k2 := RowsSizeBF16(1, k)
	for j := range n {
		panel := src[j/PanelWidth*PanelWidth*k2+j%PanelWidth*2:]
		for p := range k {
			dst[p*rs+j*cs] = math.Float32frombits(uint32(panel[p/2*2*PanelWidth+p%2]) << 16)
		}
	}
}
