package backend

// SwiGLU computes Y = SiLU(Gate)·Up with SiLU(z) = z·σ(z) (Shazeer 2020). Operands are
// each F32 or BF16.
type SwiGLU struct{ Y, Gate, Up View } // [N, F] each

func (o *SwiGLU) Name() string { return "SwiGLU" }

func (o *SwiGLU) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.Gate, Read)
	visit(&o.Up, Read)
}

func (o *SwiGLU) Check() error {
	c := check(o).activations(&o.Gate, &o.Y, &o.Up).rank("Gate", &o.Gate, 2)
	if c.err == nil {
		s := o.Gate.Shape[:2]
		c.shape("Y", &o.Y, s...).shape("Up", &o.Up, s...).
			unitStride("Y", &o.Y).unitStride("Gate", &o.Gate).unitStride("Up", &o.Up)
	}
	return c.done()
}

// SwiGLUGrad is the backward pass of SwiGLU: DUp = DY·SiLU(Gate) and DGate = DY·Up·σ(z)(1
// + z(1 − σ(z))) with z = Gate. Operands are each F32 or BF16.
type SwiGLUGrad struct{ DGate, DUp, DY, Gate, Up View } // [N, F] each

func (o *SwiGLUGrad) Name() string { return "SwiGLUGrad" }

func (o *SwiGLUGrad) Operands(visit func(*View, Access)) {
	visit(&o.DGate, Write)
	visit(&o.DUp, Write)
	visit(&o.DY, Read)
	visit(&o.Gate, Read)
	visit(&o.Up, Read)
}

func (o *SwiGLUGrad) Check() error {
	c := check(o).activations(&o.Gate, &o.DGate, &o.DUp, &o.DY, &o.Up).rank("Gate", &o.Gate, 2)
	if c.err == nil {
		s := o.Gate.Shape[:2]
		c.shape("DGate", &o.DGate, s...).shape("DUp", &o.DUp, s...).shape("DY", &o.DY, s...).shape("Up", &o.Up, s...).
			unitStride("DGate", &o.DGate).unitStride("DUp", &o.DUp).unitStride("DY", &o.DY).
			unitStride("Gate", &o.Gate).unitStride("Up", &o.Up)
	}
	return c.done()
}

// Decompose computes SwiGLU by its definition.
func (o *SwiGLU) Decompose(x *Expander) {
	t := x.Temp(o.Gate.DType.Compute(), o.Y.Dims()...)
	x.unary(Sigmoid, t, o.Gate)
	x.binary(Mul, t, t, o.Gate)
	x.binary(Mul, o.Y, t, o.Up)
}

// Decompose computes SwiGLUGrad by its definition.
func (o *SwiGLUGrad) Decompose(x *Expander) {
	dt, shape := o.Gate.DType.Compute(), o.Gate.Dims()
	sigma, silu, slope := x.Temp(dt, shape...), x.Temp(dt, shape...), x.Temp(dt, shape...)
	x.unary(Sigmoid, sigma, o.Gate)
	x.binary(Mul, silu, o.Gate, sigma)
	x.affine(slope, sigma, -1, 1) // 1 − σ
	x.binary(Mul, slope, slope, o.Gate)
	x.affine(slope, slope, 1, 1)
	x.binary(Mul, slope, slope, sigma)
	x.binary(Mul, slope, slope, o.Up)
	x.binary(Mul, silu, silu, o.DY)
	x.binary(Mul, slope, slope, o.DY)
	x.copy(o.DUp, silu)
	x.copy(o.DGate, slope)
}
