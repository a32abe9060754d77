//go:build !noasm

package asm

// softmaxGradRowsAVX512 requires positive rows and width.
//
//go:noescape
func softmaxGradRowsAVX512(p, ds *float32, rows, width int, visible *int32, lse, delta *float32, scale float32)

func softmaxGradRows(p, ds []float32, width int, visible []int32, lse, delta []float32, scale float32) {
	if useAVX512 && width > 0 {
		softmaxGradRowsAVX512(&p[0], &ds[0], len(visible), width, &visible[0], &lse[0], &delta[0], scale)
		return
	}
	softmaxGradRowsGeneric(p, ds, width, visible, lse, delta, scale)
}
