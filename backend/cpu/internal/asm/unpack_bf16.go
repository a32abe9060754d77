package asm

import "math"

// UnpackBF16 is the inverse of PackBF16 for columns first to first+n of a packed
// matrix of K rows: element (p,first+j) goes to dst[p*rs+j*cs].
func UnpackBF16(dst []float32, src []uint16, k, first, n, rs, cs int) {
	if k <= 0 || n <= 0 {
		return
	}
	need("UnpackBF16", "src", len(src), PackedSizeBF16(k, first+n))
	need("UnpackBF16", "dst", len(dst), extent(k, n, rs, cs))
	k2 := RowsSizeBF16(1, k)
	for i := range n {
		j := first + i
		panel := src[j/PanelWidth*PanelWidth*k2+j%PanelWidth*2:]
		for p := range k {
			dst[p*rs+i*cs] = math.Float32frombits(uint32(panel[p/2*2*PanelWidth+p%2]) << 16)
		}
	}
}
