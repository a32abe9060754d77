package backend

// Decompose computes LogSumExp by its definition, with each row as one chunk.
func (o *LogSumExp) Decompose(x *Expander) {
	n, v := o.X.Shape[0], o.X.Shape[1]
	dt := o.X.DType.Compute()
	z, e, top, sum := x.Temp(dt, n, v), x.Temp(dt, n, v), x.Temp(dt, n), x.Temp(dt, n)
	x.affine(z, o.X, o.InvTemp, 0)
	x.reduce(ReduceMax, top, z)
	x.finite(top)
	x.binary(Sub, e, z, top.Unsqueeze(1))
	x.unary(Exp, e, e)
	x.reduce(Sum, sum, e)
	x.unary(Log, o.LSE, sum)
	x.binary(Add, o.LSE, o.LSE, top)
	if o.Entropy.Present() {
		mean := top
		x.binary(Mul, e, e, z)
		x.reduce(Sum, mean, e)
		x.binary(Div, mean, mean, sum)
		x.binary(Sub, o.Entropy, o.LSE, mean)
	}
}

// targeted returns the mask [N] of the rows whose target is not negative.
func (x *Expander) targeted(target View) View {
	mask := x.Temp(I32, target.Dim(0))
	x.binary(LessEqual, mask, x.constant(I32, 0), target)
	return mask
}

// Decompose computes LinearLogProb with the full logits.
func (o *LinearLogProb) Decompose(x *Expander) {
	n := o.X.Shape[0]
	_, v := o.W.Dims()
	dt := o.X.DType.Compute()
	logits, picked := x.Temp(dt, n, v), x.Temp(dt, n, 1)
	x.Do(&MatMul{C: logits, A: o.X, B: o.W})
	x.Do(&LogSumExp{LSE: o.LSE, Entropy: o.Entropy, X: logits, InvTemp: o.InvTemp})
	x.Do(&GatherLast{Y: picked, X: logits, Index: o.Target.Unsqueeze(1)})
	score := picked.Reshape(n)
	x.affine(score, score, o.InvTemp, 0)
	x.binary(Sub, score, score, o.LSE)
	x.choose(o.LogProb, x.targeted(o.Target), score, x.constant(dt, 0))
}

// Decompose computes LinearLogProbGrad with the full logits and their gradient.
func (o *LinearLogProbGrad) Decompose(x *Expander) {
	n, v := o.X.Shape[0], o.W.Data.Shape[1]
	dt := o.X.DType.Compute()
	z, p, weight := x.Temp(dt, n, v), x.Temp(dt, n, v), x.Temp(dt, n)
	x.Do(&MatMul{C: z, A: o.X, B: o.W})
	x.affine(z, z, o.InvTemp, 0)
	x.binary(Sub, z, z, o.LSE.Unsqueeze(1))
	x.unary(Exp, p, z)

	// dz = −p·(DLogProb + DEntropy·(z − LSE + Entropy)), then DLogProb at the target.
	x.choose(weight, x.targeted(o.Target), o.DLogProb, x.constant(dt, 0))
	if o.DEntropy.Present() {
		x.binary(Add, z, z, o.Entropy.Unsqueeze(1))
		x.binary(Mul, z, z, o.DEntropy.Unsqueeze(1))
		x.binary(Add, z, z, weight.Unsqueeze(1))
	} else {
		x.copy(z, weight.Unsqueeze(1))
	}
	x.binary(Mul, z, z, p)
	x.affine(z, z, -1, 0)
	x.Do(&ScatterLast{Y: z, X: weight.Unsqueeze(1), Index: o.Target.Unsqueeze(1)})
	x.affine(z, z, o.InvTemp, 0)
	if o.DX.Present() {
		x.Do(&MatMul{C: o.DX, A: z, B: Matrix{Data: o.W.Data.T(), Format: o.W.Format}})
	}
	if o.DW.Present() {
		x.Do(&MatMul{C: o.DW, A: z.T(), B: Matrix{Data: o.X, Format: o.W.Format}, Accumulate: true})
	}
}
