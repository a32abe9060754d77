package backend

import "math"

// AdamW updates one tensor in place (Loshchilov and Hutter 2019). At has what changes
// from step to step: the step t ≥ 1, a factor f of the learning rate and a scale c of the
// gradient. A step below 1 is refused: by a panic, or by an error of Sync if the device
// reads At. With g = c·G:
//
//	M ← β₁M + (1−β₁)g    V ← β₂V + (1−β₂)g²
//	W ← W − f·LR·( M/(1−β₁ᵗ) / (√(V/(1−β₂ᵗ)) + Eps) + WeightDecay·W )
//
// M and V may be BF16 for F32 weights, as in DeepSeek-V3: W is updated with the unrounded
// values, which are then rounded and stored.
type AdamW struct {
	W, G, M, V            View // of equal shapes, contiguous
	At                    View // [3] F64: t, f, c
	LR, Beta1, Beta2, Eps float64
	WeightDecay           float64
}

func (o *AdamW) Name() string { return "AdamW" }

func (o *AdamW) Operands(visit func(*View, Access)) {
	visit(&o.W, ReadWrite)
	visit(&o.G, Read)
	visit(&o.M, ReadWrite)
	visit(&o.V, ReadWrite)
	visit(&o.At, Read)
}

func (o *AdamW) Check() error {
	s := o.W.Shape[:o.W.Rank]
	return check(o).float(&o.W, &o.G).
		shape("G", &o.G, s...).shape("M", &o.M, s...).shape("V", &o.V, s...).
		contiguous("W", &o.W).contiguous("G", &o.G).contiguous("M", &o.M).contiguous("V", &o.V).
		thatViews(o.M.DType == o.V.DType && (o.M.DType == o.W.DType || o.M.DType == BF16 && o.W.DType == F32),
			"moments %v, %v of weights %v", &o.M, &o.V, &o.W).
		shape("At", &o.At, 3).contiguous("At", &o.At).thatViews(o.At.DType == F64, "At %v, want F64", &o.At).done()
}

// Decompose computes AdamW by its definition. The weights are updated with moments that
// are not yet rounded.
func (o *AdamW) Decompose(x *Expander) {
	dt, shape := o.W.DType, o.W.Dims()
	g, m, v, t := x.Temp(dt, shape...), x.Temp(dt, shape...), x.Temp(dt, shape...), x.Temp(dt, shape...)
	step, factor, gradScale := o.At.Slice(0, 0, 1), o.At.Slice(0, 1, 2), o.At.Slice(0, 2, 3)
	// scalar returns the element that fn writes in F64, rounded to dt.
	scalar := func(fn func(y View)) View {
		y, z := x.Temp(F64, 1), x.Temp(dt, 1)
		fn(y)
		x.copy(z, y)
		return z
	}
	// correction returns 1/(1−βᵗ).
	correction := func(beta float64) View {
		return scalar(func(y View) {
			x.affine(y, step, math.Log(beta), 0)
			x.unary(Exp, y, y)
			x.affine(y, y, -1, 1)
			x.unary(Reciprocal, y, y)
		})
	}
	x.binary(Mul, g, o.G, scalar(func(y View) { x.copy(y, gradScale) }))
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

	x.binary(Mul, m, m, correction(o.Beta1))
	x.binary(Mul, v, v, correction(o.Beta2))
	x.unary(Sqrt, v, v)
	x.affine(v, v, 1, o.Eps)
	x.binary(Div, m, m, v)
	x.affine(t, o.W, o.WeightDecay, 0)
	x.binary(Add, m, m, t)
	x.binary(Mul, m, m, scalar(func(y View) { x.affine(y, factor, o.LR, 0) }))
	x.binary(Sub, o.W, o.W, m)
}
