//go:build !noasm

package asm

//go:noescape
func quantRowAVX2(dst *byte, x *float32, blocks int)

func quantRow(dst []byte, x []float32) {
	if useAVX2 {
		quantRowAVX2(&dst[0], &x[0], len(x)/QuantBlock)
		return
	}
	quantRowGeneric(dst, x)
}

//go:noescape
func columnSizesAVX2(tile *float32, sizes *uint32)

func columnSizes(tile *tileQ, sizes *[PanelWidth]uint32) {
	if useAVX2 {
		columnSizesAVX2(&tile[0], &sizes[0])
		return
	}
	columnSizesGeneric(tile, sizes)
}

//go:noescape
func roundBlockQ8AVX2(dst *byte, tile, inv *float32)

func roundBlockQ8(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	if useAVX2 {
		roundBlockQ8AVX2(&dst[0], &tile[0], &inv[0])
		return
	}
	roundBlockQ8Generic(dst, tile, inv)
}

//go:noescape
func roundBlockQ4AVX2(dst *byte, tile, inv *float32)

func roundBlockQ4(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	if useAVX2 {
		roundBlockQ4AVX2(&dst[0], &tile[0], &inv[0])
		return
	}
	roundBlockQ4Generic(dst, tile, inv)
}

//go:noescape
func errorsQ4AVX2(tile, d, inv, errs *float32)

func errorsQ4(tile *tileQ, d, inv, errs *[PanelWidth]float32) {
	if useAVX2 {
		errorsQ4AVX2(&tile[0], &d[0], &inv[0], &errs[0])
		return
	}
	errorsQ4Generic(tile, d, inv, errs)
}
