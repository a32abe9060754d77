//go:build !noasm

package asm

func quantRow(dst []byte, x []float32) { quantRowGeneric(dst, x) }

func columnSizes(tile *tileQ, sizes *[PanelWidth]uint32) { columnSizesGeneric(tile, sizes) }

func roundBlockQ8(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	roundBlockQ8Generic(dst, tile, inv)
}

func roundBlockQ4(dst []byte, tile *tileQ, inv *[PanelWidth]float32) {
	roundBlockQ4Generic(dst, tile, inv)
}

func errorsQ4(tile *tileQ, d, inv, errs *[PanelWidth]float32) { errorsQ4Generic(tile, d, inv, errs) }
