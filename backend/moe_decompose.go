package backend

// Decompose computes MoEWeights by its definition.
func (o *MoEWeights) Decompose(x *Expander) {
	x.Do(&GatherLast{Y: o.Weight, X: o.Scores, Index: o.Index})
	if o.Normalize {
		total := x.Temp(o.Scores.DType, o.Scores.Shape[0])
		x.reduce(Sum, total, o.Weight)
		x.affine(total, total, 1, GateEps)
		x.binary(Div, o.Weight, o.Weight, total.Unsqueeze(1))
	}
	x.affine(o.Weight, o.Weight, o.Scale, 0)
}

// Decompose computes MoEGateGrad by its definition.
func (o *MoEGateGrad) Decompose(x *Expander) {
	n, e, k := o.Scores.Shape[0], o.Scores.Shape[1], o.Index.Shape[1]
	dt := o.Scores.DType
	ds, product := x.Temp(dt, n, e), x.Temp(dt, n, e)
	if o.DScores.Present() {
		x.copy(ds, o.DScores)
	} else {
		x.fill(ds, 0)
	}
	if o.DWeight.Present() && !o.ConstantWeights() {
		g := x.Temp(dt, n, k)
		x.affine(g, o.DWeight, o.Scale, 0)
		if o.Normalize {
			chosen, total, mean := x.Temp(dt, n, k), x.Temp(dt, n), x.Temp(dt, n)
			weighted := x.Temp(dt, n, k)
			x.Do(&GatherLast{Y: chosen, X: o.Scores, Index: o.Index})
			x.reduce(Sum, total, chosen)
			x.affine(total, total, 1, GateEps)
			x.binary(Mul, weighted, g, chosen)
			x.reduce(Sum, mean, weighted)
			x.binary(Div, mean, mean, total)
			x.binary(Sub, g, g, mean.Unsqueeze(1))
			x.binary(Div, g, g, total.Unsqueeze(1))
		}
		x.Do(&ScatterLast{Y: ds, X: g, Index: o.Index})
	}
	if o.Scoring == ScoreSoftmax {
		mean := x.Temp(dt, n)
		x.binary(Mul, product, ds, o.Scores)
		x.reduce(Sum, mean, product)
		x.binary(Sub, ds, ds, mean.Unsqueeze(1))
	} else {
		x.affine(product, o.Scores, -1, 1)
		x.binary(Mul, ds, ds, product)
	}
	x.binary(Mul, o.DLogits, ds, o.Scores)
}

// Decompose copies every token K times and gathers the copies by assignment.
func (o *MoEDispatch) Decompose(x *Expander) {
	n, d, slots := o.X.Shape[0], o.X.Shape[1], o.Y.Shape[0]
	if slots == 0 {
		return
	}
	copies := x.Temp(o.X.DType, n, slots/n, d)
	x.copy(copies, o.X.Unsqueeze(1))
	x.Do(&Gather{Y: o.Y, X: copies.Reshape(slots, d), Index: o.Perm})
}

// Decompose adds the outputs of all tokens' k-th experts, one k after another.
func (o *MoECombine) Decompose(x *Expander) {
	n, d, k := o.Y.Shape[0], o.Y.Shape[1], o.Inverse.Shape[1]
	dt := o.X.DType.Compute()
	rows, sum := x.Temp(dt, n, d), x.Temp(dt, n, d)
	x.fill(sum, 0)
	for i := range k {
		x.Do(&Gather{Y: rows, X: o.X, Index: o.Inverse.column(i)})
		if o.Weight.Present() {
			x.binary(Mul, rows, rows, o.Weight.Slice(1, i, i+1))
		}
		x.binary(Add, sum, sum, rows)
	}
	x.copy(o.Y, sum)
}

// Decompose computes the gradients of all tokens' k-th experts, one k after another.
func (o *MoECombineGrad) Decompose(x *Expander) {
	n, d, k := o.DY.Shape[0], o.DY.Shape[1], o.Inverse.Shape[1]
	rows := x.Temp(o.X.DType.Compute(), n, d)
	for i := range k {
		x.Do(&Gather{Y: rows, X: o.X, Index: o.Inverse.column(i)})
		x.binary(Mul, rows, rows, o.DY)
		x.reduce(Sum, o.DWeight.column(i), rows)
		x.binary(Mul, rows, o.DY, o.Weight.Slice(1, i, i+1))
		x.Do(&Scatter{Y: o.DX, X: rows, Index: o.Inverse.column(i)})
	}
}

// column returns column j of the matrix v as a vector.
func (v View) column(j int) View { return v.T().Index(j) }
