package tensor

import "github.com/aha-go/aha/backend"

// RMSNorm returns x·w/sqrt(mean(x²)+eps), row by row, for x [N, D] and w [D], in the
// dtype of x.
func RMSNorm(x Tensor, w *Param, eps float64) Tensor {
	s := scopeOf("RMSNorm", x)
	y := s.allocLike(x.view)
	rstd := s.alloc(x.view.DType.Compute(), x.Dim(0))
	s.do(&backend.RMSNorm{Y: y.view, Rstd: rstd.view, X: x.View(), W: w.value, Eps: eps})
	if !s.needs(x) && !(s.recording && w.Trainable) {
		return y
	}
	s.track([]*Tensor{&y}, []Tensor{x, rstd}, func(dy []gradient) {
		g := s.newGradient(x)
		op := &backend.RMSNormGrad{DX: g.View, X: x.view, W: w.value, Rstd: rstd.view}
		if w.Trainable {
			op.DW, _ = s.gradOf(w)
		}
		d := s.contiguous(dy[0])
		op.DY = d.View
		s.do(op)
		d.release()
		s.give(x, g)
	})
	return y
}
