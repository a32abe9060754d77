package backend

// RMSNorm computes Y[i, :] = X[i, :]·W / sqrt(mean(X[i, :]²) + Eps) and Rstd[i] =
// 1/sqrt(mean(X[i, :]²) + Eps) (Zhang and Sennrich 2019). X and Y are activations: each
// is F32 or BF16. Rstd and W are F32.
type RMSNorm struct {
	Y    View // [N, D]
	Rstd View // [N]
	X    View // [N, D]
	W    View // [D]
	Eps  float64
}

func (o *RMSNorm) Name() string { return "RMSNorm" }

func (o *RMSNorm) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.Rstd, Write)
	visit(&o.X, Read)
	visit(&o.W, Read)
}

func (o *RMSNorm) Check() error {
	c := check(o).activations(&o.X, &o.Y).statistics(&o.X, &o.Rstd, &o.W).rank("X", &o.X, 2)
	if c.err == nil {
		n, d := o.X.Shape[0], o.X.Shape[1]
		c.shape("Y", &o.Y, n, d).shape("Rstd", &o.Rstd, n).shape("W", &o.W, d).
			unitStride("X", &o.X).unitStride("Y", &o.Y).contiguous("W", &o.W).contiguous("Rstd", &o.Rstd)
	}
	return c.done()
}

// RMSNormGrad is the backward pass of RMSNorm. With x̂ = X·Rstd and u = W·DY:
//
//	DX[i, :] = Rstd[i]·(u − x̂·mean(u·x̂))    DW += Σ_i DY[i, :]·x̂
//
// DW is optional; the order of its sum over rows depends only on N. DX, DY and X are
// activations: each is F32 or BF16. DW, W and Rstd are F32.
type RMSNormGrad struct {
	DX, DW   View // [N, D], [D]
	DY, X, W View // [N, D], [N, D], [D]
	Rstd     View // [N]
}

func (o *RMSNormGrad) Name() string { return "RMSNormGrad" }

func (o *RMSNormGrad) Operands(visit func(*View, Access)) {
	visit(&o.DX, Write)
	if o.DW.Present() {
		visit(&o.DW, ReadWrite)
	}
	visit(&o.DY, Read)
	visit(&o.X, Read)
	visit(&o.W, Read)
	visit(&o.Rstd, Read)
}

func (o *RMSNormGrad) Check() error {
	c := check(o).activations(&o.X, &o.DX, &o.DY).statistics(&o.X, &o.DW, &o.W, &o.Rstd).rank("X", &o.X, 2)
	if c.err == nil {
		n, d := o.X.Shape[0], o.X.Shape[1]
		c.shape("DX", &o.DX, n, d).shape("DY", &o.DY, n, d).shape("W", &o.W, d).shape("DW", &o.DW, d).shape("Rstd",
			&o.Rstd, n).
			unitStride("X", &o.X).unitStride("DX", &o.DX).unitStride("DY", &o.DY).contiguous("W", &o.W).contiguous("DW",
			&o.DW).contiguous("Rstd", &o.Rstd)
	}
	return c.done()
}

// Decompose computes RMSNorm by its definition.
func (o *RMSNorm) Decompose(x *Expander) {
	d := float64(o.X.Shape[1])
	x.reduce(SumSquares, o.Rstd, o.X)
	x.affine(o.Rstd, o.Rstd, 1/d, o.Eps)
	x.unary(Sqrt, o.Rstd, o.Rstd)
	x.unary(Reciprocal, o.Rstd, o.Rstd)
	y := x.Temp(o.Rstd.DType, o.X.Dims()...)
	x.binary(Mul, y, o.X, o.Rstd.Unsqueeze(1))
	x.binary(Mul, o.Y, y, o.W)
}

// Decompose computes RMSNormGrad by its definition.
func (o *RMSNormGrad) Decompose(x *Expander) {
	n, d := o.X.Shape[0], o.X.Shape[1]
	dt := o.X.DType.Compute()
	rstd := o.Rstd.Unsqueeze(1)
	xHat, u, mean := x.Temp(dt, n, d), x.Temp(dt, n, d), x.Temp(dt, n)
	x.binary(Mul, xHat, o.X, rstd)
	if o.DW.Present() {
		x.binary(Mul, u, o.DY, xHat)
		dw := x.Temp(dt, d)
		x.reduce(Sum, dw, u.T())
		x.binary(Add, o.DW, o.DW, dw)
	}
	product := x.Temp(dt, n, d)
	x.binary(Mul, u, o.DY, o.W)
	x.binary(Mul, product, u, xHat)
	x.reduce(Sum, mean, product)
	x.affine(mean, mean, 1/float64(d), 0)
	x.binary(Mul, xHat, xHat, mean.Unsqueeze(1))
	x.binary(Sub, u, u, xHat)
	x.binary(Mul, o.DX, u, rstd)
}
