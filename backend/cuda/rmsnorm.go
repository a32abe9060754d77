package cuda

import "github.com/aha-go/aha/backend"

func (b *CUDA) rmsNorm(o *backend.RMSNorm) error {
	return b.kernel("rmsnorm", "rmsNorm"+suffix(o.X.DType)).
		views(&o.Y, &o.Rstd, &o.X, &o.W).double(o.Eps).rows(o.X.Shape[0], o.X.Shape[1])
}

// rmsNormGrad computes DW first, so that DX may overwrite an operand.
func (b *CUDA) rmsNormGrad(o *backend.RMSNormGrad) error {
	if o.DW.Present() {
		err := b.kernel("rmsnorm", "rmsNormGradWeight"+suffix(o.X.DType)).
			views(&o.DW, &o.DY, &o.X, &o.Rstd).blocks((o.X.Shape[1] + 31) / 32)
		if err != nil {
			return err
		}
	}
	return b.kernel("rmsnorm", "rmsNormGrad"+suffix(o.X.DType)).
		views(&o.DX, &o.DY, &o.X, &o.W, &o.Rstd).rows(o.X.Shape[0], o.X.Shape[1])
}
