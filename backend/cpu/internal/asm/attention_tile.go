package asm

// SoftmaxGradRows computes P and dS of a tile of scores with one row for each
// element of visible and len(p)/len(visible) columns. It sets
//
//	p = exp(scale·p − lse[r])    ds = p·(ds − delta[r])·scale
//
// in the first visible[r] columns of row r, and sets both to 0 in the other
// columns, whatever they hold. Each row has the bits of [Scale], [ExpSub] and
// [SoftmaxGrad].
func SoftmaxGradRows(p, ds []float32, visible []int32, lse, delta []float32, scale float32) {
	if len(visible) == 0 {
		return
	}
	width := len(p) / len(visible)
	need("SoftmaxGradRows", "ds", len(ds), len(visible)*width)
	need("SoftmaxGradRows", "lse", len(lse), len(visible))
	need("SoftmaxGradRows", "delta", len(delta), len(visible))
	for _, n := range visible {
		need("SoftmaxGradRows", "p", width, int(n))
	}
	softmaxGradRows(p, ds, width, visible, lse, delta, scale)
}

func softmaxGradRowsGeneric(p, ds []float32, width int, visible []int32, lse, delta []float32, scale float32) {
	for r, n := range visible {
		pr, dr := p[r*width:][:width], ds[r*width:][:width]
		clear(pr[n:])
		clear(dr[n:])
		pr, dr = pr[:n], dr[:n]
		Scale(pr, pr, scale)
		ExpSub(pr, pr, lse[r])
		SoftmaxGrad(dr, pr, dr, delta[r], scale)
	}
}
