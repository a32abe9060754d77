package tensor

import "github.com/aha-go/aha/backend"

// LogSoftmax is the log-softmax of z [N, V] at index [N, K] I32 alone, or at all V
// where index is absent, and has z's dtype, F32 or F64. Elements of −Inf have no
// probability and no gradient:
//
//	y = z[index] − LSE(z)      dz = scatter(dy) − softmax(z)·Σ_k dy
func LogSoftmax(z, index Tensor) Tensor {
	in := []Tensor{z}
	if index.Present() {
		in = append(in, index)
	}
	n := z.Dim(0)
	return Func{
		Forward: func(s *Scope, in []Tensor) Tensor {
			picked, lse := in[0], s.Empty(z.DType(), n)
			s.Do(&backend.LogSumExp{LSE: lse.View(), X: picked.View(), InvTemp: 1})
			if len(in) > 1 {
				picked = s.Empty(z.DType(), in[1].Shape()...)
				s.Do(&backend.GatherLast{Y: picked.View(), X: in[0].View(), Index: in[1].View()})
			}
			return Sub(picked, lse.Reshape(n, 1))
		},
		Backward: func(s *Scope, in []Tensor, _, dy Tensor) []Tensor {
			p := s.Empty(z.DType(), z.Shape()...)
			s.Do(&backend.Softmax{Y: p.View(), X: in[0].View()})
			dz := Neg(Mul(p, SumLast(dy).Reshape(n, 1)))
			if len(in) == 1 {
				return []Tensor{Add(dz, dy)}
			}
			s.Do(&backend.ScatterLast{Y: dz.View(), X: dy.View(), Index: in[1].View()})
			return []Tensor{dz}
		},
	}.Apply(in...)
}
