//go:build !noasm

package asm

import "unsafe"

// quantRowFP8AVX2 is quantRowFP8Generic of a positive number of blocks.
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

// largestSizeAVX2 takes a positive multiple of 16 elements.
//
//go:noescape
func largestSizeAVX2(x *float32, n int) uint32

// largestSize is largestSizeGeneric of a positive multiple of PanelWidth elements.
func largestSize(x []float32) uint32 {
	if useAVX2 {
		return largestSizeAVX2(&x[0], len(x))
	}
	return largestSizeGeneric(x)
}

// encodePairsFP8AVX2 takes a positive number of pairs of rows.
//
//go:noescape
func encodePairsFP8AVX2(dst *byte, tile *float32, pairs int, scale float32)

func encodePairsFP8(dst []byte, tile []float32, scale float32) {
	if useAVX2 {
		encodePairsFP8AVX2(&dst[0], &tile[0], len(tile)/(2*PanelWidth), scale)
		return
	}
	encodePairsFP8Generic(dst, tile, scale)
}

// nanColumnsAVX2 takes a positive number of pairs of rows.
//
//go:noescape
func nanColumnsAVX2(codes *byte, pairs int) uint32

func nanColumns(codes []byte) uint32 {
	if useAVX2 {
		return nanColumnsAVX2(&codes[0], len(codes)/(2*PanelWidth))
	}
	return nanColumnsGeneric(codes)
}

// packRowPairsFP8AVX2 packs 16 adjacent columns: pairs of rows, rs apart. pairs is
// positive.
//
//go:noescape
func packRowPairsFP8AVX2(dst, b *byte, pairs, rs int)

// splitQuadsAVX2 separates the two pairs of each four k of 16 columns. quads is
// positive.
//
//go:noescape
func splitQuadsAVX2(dst *byte, quads *float32, n int)

// packPairsFP8 copies k ≤ FP8Block rows of n ≤ PanelWidth columns of codes to pairs.
func packPairsFP8(dst, b []byte, k, n, rs, cs int) {
	whole := 0
	switch {
	case useAVX2 && cs == 1 && n == PanelWidth && k > 1:
		whole = k &^ 1
		packRowPairsFP8AVX2(&dst[0], &b[0], whole/2, rs)
	case useAVX2 && rs == 1 && cs%4 == 0 && k >= 4:
		// Transpose four k at a time, as float32.
		whole = k &^ 3
		var quads [FP8Block / 4 * PanelWidth]float32
		words := unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
		packPanel(quads[:whole/4*PanelWidth], words, whole/4, n, 1, cs/4)
		splitQuadsAVX2(&dst[0], &quads[0], whole/4)
	}
	if whole < k {
		packPairsFP8Generic(dst[whole*PanelWidth:], b[whole*rs:], k-whole, n, rs, cs)
	}
}
