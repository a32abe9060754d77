package backend

import "math"

// AdamW updates one tensor in place (Loshchilov and Hutter 2019). With
// g = G·GradScale and step t ≥ 1:
//
//	M ← β₁M + (1−β₁)g    V ← β₂V + (1−β₂)g²
//	W ← W − LR·( M/(1−β₁ᵗ) / (√(V/(1−β₂ᵗ)) + Eps) + WeightDecay·W )
//
// M and V may be BF16 (as V3 keeps them) beside F32 weights: they are rounded as
// they are stored, after W has used them.
type AdamW struct {
	W, G, M, V             View // one shape, contiguous
	LR, Beta1, Beta2, Eps  float64
	WeightDecay, GradScale float64
	Step                   int
}

func (o *AdamW) Name() string { return "AdamW" }

func (o *AdamW) Operands(visit func(*View, Access)) {
	visit(&o.W, ReadWrite)
	visit(&o.G, Read)
	visit(&o.M, ReadWrite)
	visit(&o.V, ReadWrite)
}

func (o *AdamW) Check() error {
	s := o.W.Shape[:o.W.Rank]
	return check(o).float(&o.W, &o.G).
		shape("G", &o.G, s...).shape("M", &o.M, s...).shape("V", &o.V, s...).
		contiguous("W", &o.W).contiguous("G", &o.G).contiguous("M", &o.M).contiguous("V", &o.V).
		thatViews(o.M.DType == o.V.DType && (o.M.DType == o.W.DType || o.M.DType == BF16 && o.W.DType == F32), "moments %v, %v of weights %v", &o.M, &o.V, &o.W).
		that(o.Step >= 1, "step %d", o.Step).done()
}

// Decompose is AdamW by its definition. Moments are rounded when they are
// stored; the weights use them before that.
func (o *AdamW) Decompose(x *Expander) {
	dt, shape := o.W.DType, o.W.Dims()
	g, m, v, t := x.Temp(dt, shape...), x.Temp(dt, shape...), x.Temp(dt, shape...), x.Temp(dt, shape...)
	x.affine(g, o.G, o.GradScale, 0)
	x.copy(m, o.M)
	x.affine(m, m, o.Beta1, 0)
	x.affine(t, g, 1-o.Beta1, 0)
	x.binary(Add, m, m, t)
	x.copy(o.M, m)
	x.copy(v, o.V)
	x.affine(v, v, o.Beta2, 0)
	x.binary(Mul, g, g, g)
	x.affine(g, g, 1-o.Beta2, 0)
	x.binary(Add, v, v, g)
	x.copy(o.V, v)

	step := float64(o.Step)
	x.affine(m, m, 1/(1-math.Pow(o.Beta1, step)), 0)
	x.affine(v, v, 1/(1-math.Pow(o.Beta2, step)), 0)
	x.unary(Sqrt, v, v)
	x.affine(v, v, 1, o.Eps)
	x.binary(Div, m, m, v)
	x.affine(t, o.W, o.WeightDecay, 0)
	x.binary(Add, m, m, t)
	x.affine(m, m, o.LR, 0)
	x.binary(Sub, o.W, o.W, m)
}
