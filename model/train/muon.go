package train

import (
	"cmp"
	"errors"
	"math"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/tensor"
)

// Muon orthogonalises the momentum of matrices (Jordan et al. 2024) in the form of
// Moonlight (arXiv:2502.16982 eq. 4), whose updates have the root mean square of AdamW's,
// so that both can use the same learning rates. For a matrix of R×C with gradient g:
//
//	M ← μM + g
//	W ← W − LR·( 0.2·√max(R,C)·NewtonSchulz(g + μM) + WeightDecay·W )
//
// Muon applies to parameters of tensor.KindMatrix, KindJoin, KindAdapter and KindExperts,
// where each expert is a separate matrix. Embedding, head, routers and vectors are updated
// by AdamW.
type Muon struct {
	LR       float64 // peak learning rate, as for AdamW; required
	Momentum float64 // μ; 0 means 0.95
	// WeightDecay shrinks the matrices by LR·WeightDecay each step; 0 means none, Moonlight
	// uses 0.1.
	WeightDecay float64
	// AdamW updates the other parameters. If its LR is 0, it uses Muon's.
	AdamW AdamW
}

// Validate checks that LR is above 0, that Momentum is within [0, 1), that WeightDecay is 0
// or more, that AdamW is valid, whose LR may be 0, and that all are finite.
func (o Muon) Validate() error {
	return errors.Join(
		positive("Muon.LR", o.LR), fraction("Muon.Momentum", o.Momentum), notNegative("Muon.WeightDecay", o.WeightDecay),
		notNegative("Muon.AdamW.LR", o.AdamW.LR), o.AdamW.coefficients("Muon.AdamW"),
	)
}

// LearningRate returns LR.
func (o Muon) LearningRate() float64 { return o.LR }

// takes reports whether Muon itself updates p, rather than AdamW.
func (Muon) takes(p *tensor.Param) bool {
	switch p.Kind {
	case tensor.KindMatrix, tensor.KindJoin, tensor.KindExperts, tensor.KindAdapter:
		return true
	}
	return false
}

// Moments returns the momentum of a matrix, and AdamW's moments for other parameters.
func (o Muon) Moments(p *tensor.Param) []Moment {
	if o.takes(p) {
		return []Moment{{"momentum_buffer", p.Value().DType}}
	}
	return o.AdamW.Moments(p)
}

// Update makes one step.
func (o Muon) Update(s *tensor.Scope, p *tensor.Param, g backend.View, m []backend.View, at backend.View) {
	if !o.takes(p) {
		a := o.AdamW
		a.LR = cmp.Or(a.LR, o.LR)
		a.Update(s, p, g, m, at)
		return
	}
	mu, momentum, w := cmp.Or(o.Momentum, 0.95), m[0], p.Value()
	shape := p.Shape()
	scaled, update := s.Empty(g.DType, shape...).View(), s.Empty(g.DType, shape...).View()
	dt := g.DType
	multiply(s, scaled, g, s.Constant(at.Slice(0, 2, 3)), dt)
	affine(s, momentum, momentum, mu)
	add(s, momentum, momentum, scaled)
	affine(s, update, momentum, mu)
	add(s, update, update, scaled)
	update = newtonSchulz(s, update)

	lr := tensor.Scale(s.Constant(at.Slice(0, 1, 2)), o.LR)
	r, c := w.Dim(-2), w.Dim(-1)
	multiply(s, w, w, tensor.Affine(lr, -o.WeightDecay, 1), dt)
	rms := tensor.Scale(tensor.Scale(lr, -0.2), math.Sqrt(float64(max(r, c))))
	multiply(s, scaled, update, rms, dt)
	add(s, w, w, scaled)
}

// multiply computes y = k·x for k [1] in F64, which it first rounds to dt.
func multiply(s *tensor.Scope, y, x backend.View, k tensor.Tensor, dt backend.DType) {
	rounded := s.Empty(dt, 1).View()
	if s.Err() != nil {
		return
	}
	s.Do(&backend.Copy{Dst: rounded, Src: k.View()})
	s.Do(&backend.Binary{Y: y, A: x, B: rounded.BroadcastTo(x.Dims()...), Fn: backend.Mul})
}

// newtonSchulz approximates, for each matrix of x [..., R, C], the nearest semi-orthogonal
// matrix: for x = UΣVᵀ the result is close to UVᵀ, with singular values within about 0.68
// to 1.14. It makes five steps X ← aX + (bA + cA²)X with A = XXᵀ, starting with X scaled to
// norm 1. It transposes X if that makes A smaller, so the result may be a transposed view.
// After an error of s, the result is meaningless.
func newtonSchulz(s *tensor.Scope, x backend.View) backend.View {
	const a, b, c = 3.4445, -4.7750, 2.0315
	if s.Err() != nil {
		return x
	}
	shape, dt := x.Dims(), x.DType
	if len(shape) == 2 {
		x = x.Reshape(1, shape[0], shape[1])
	}
	n := x.Dim(0)
	norm := s.Empty(dt, n)
	s.Do(&backend.Reduce{Y: norm.View(), X: x.Reshape(n, x.Len()/n), Fn: backend.SumSquares})
	s.Do(&backend.Unary{Y: norm.View(), X: norm.View(), Fn: backend.Sqrt})
	// Avoid a division by 0 for a zero matrix.
	s.Do(&backend.Unary{Y: norm.View(), X: norm.View(), Fn: backend.Affine, A: 1, B: 1e-7})

	tall := x.Dim(1) > x.Dim(2)
	if tall {
		x = x.T()
	}
	small, large := x.Dim(1), x.Dim(2)
	cur, next := s.Empty(dt, n, small, large).View(), s.Empty(dt, n, small, large).View()
	gram, scaled, poly := s.Empty(dt, n, small, small).View(), s.Empty(dt, n, small, small).View(), s.Empty(dt, n,
		small, small).View()
	if s.Err() != nil {
		return x
	}
	s.Do(&backend.Binary{Y: cur, A: x, B: norm.View().Reshape(n, 1, 1).BroadcastTo(n, small, large), Fn: backend.Div})
	for range 5 {
		s.Do(&backend.MatMul{C: gram, A: cur, B: backend.MatrixOf(cur.T())})
		affine(s, scaled, gram, c)
		affine(s, poly, gram, b)
		s.Do(&backend.MatMul{C: poly, A: scaled, B: backend.MatrixOf(gram), Accumulate: true})
		affine(s, next, cur, a)
		s.Do(&backend.MatMul{C: next, A: poly, B: backend.MatrixOf(cur), Accumulate: true})
		cur, next = next, cur
	}
	if tall {
		cur = cur.T()
	}
	if len(shape) == 2 {
		return cur.Index(0)
	}
	return cur
}

// affine computes y = k·x.
func affine(s *tensor.Scope, y, x backend.View, k float64) {
	s.Do(&backend.Unary{Y: y, X: x, Fn: backend.Affine, A: k})
}

// add computes y = a + b.
func add(s *tensor.Scope, y, a, b backend.View) {
	s.Do(&backend.Binary{Y: y, A: a, B: b, Fn: backend.Add})
}
