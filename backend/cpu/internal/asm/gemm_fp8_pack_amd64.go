//go:build !noasm

package asm

import "unsafe"

// quantRowFP8AVX2 is quantRowFP8Generic for a positive number of blocks.
//
//go:noescape
func quantRowFP8AVX2(scales, dst *byte, x *float32, blocks int)

func quantRowFP8(dst []byte, head int, x []float32) {
	switch {
	case !useAVX2:
		quantRowFP8Generic(dst, head, x)
	case len(x) > 0:
		quantRowFP8AVX2(&dst[0], &dst[head], &x[0], len(x)/FP8Block)
	}
}

// largestSizeAVX2 requires n to be a positive multiple of 16.
//
//go:noescape
func largestSizeAVX2(x *float32, n int) uint32

// largestSize is largestSizeGeneric for a positive multiple of PanelWidth
// elements.
func largestSize(x []float32) uint32 {
	if useAVX2 {
		return largestSizeAVX2(&x[0], len(x))
	}
	return largestSizeGeneric(x)
}

// encodeQuadsFP8AVX2 requires a positive number n of quads of rows.
//
//go:noescape
func encodeQuadsFP8AVX2(dst *byte, tile *float32, n int, scale float32)

func encodeQuadsFP8(dst []byte, tile []float32, scale float32) {
	if useAVX2 {
		encodeQuadsFP8AVX2(&dst[0], &tile[0], len(tile)/(4*PanelWidth), scale)
		return
	}
	encodeQuadsFP8Generic(dst, tile, scale)
}

// marksFP8AVX2 requires a positive number n of quads of rows.
//
//go:noescape
func marksFP8AVX2(codes *byte, n int) (nan, small uint32)

func marksFP8(codes []byte) (nan, small uint32) {
	if useAVX2 {
		return marksFP8AVX2(&codes[0], len(codes)/quadBytes)
	}
	return marksFP8Generic(codes)
}

// packRowQuadsAVX2 packs n quads of rows, rs apart, of 16 adjacent columns. n
// must be positive.
//
//go:noescape
func packRowQuadsAVX2(dst, b *byte, n, rs int)

// orderQuadsAVX2 rearranges the codes of n quads from ascending k to the order
// of panels. n must be positive.
//
//go:noescape
func orderQuadsAVX2(dst *byte, quads *float32, n int)

// packQuadsFP8 copies k ≤ FP8Block rows of n ≤ PanelWidth columns of codes to quads.
func packQuadsFP8(dst, b []byte, k, n, rs, cs int) {
	whole := k &^ 3
	switch {
	case !useAVX2 || whole == 0:
		whole = 0
	case cs == 1 && n == PanelWidth:
		packRowQuadsAVX2(&dst[0], &b[0], whole/4, rs)
	case rs == 1 && cs%4 == 0:
		// Transpose four k at a time, as float32.
		var quads [FP8Block / 4 * PanelWidth]float32
		words := unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
		packPanel(quads[:whole/4*PanelWidth], words, whole/4, n, 1, cs/4)
		orderQuadsAVX2(&dst[0], &quads[0], whole/4)
	default:
		whole = 0
	}
	if whole < k {
		packQuadsFP8Generic(dst[whole*PanelWidth:], b[whole*rs:], k-whole, n, rs, cs)
	}
}
