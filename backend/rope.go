package backend

// RoPE rotates pairs of the last R elements of each row of X [N, H, D] by the angles of
// the token's position (Su et al. 2021) and copies the D−R elements before them. Row p of
// Cos and Sin [P, R/2] has the angles of position p. With x the last R elements, pair i
// is (x[2i], x[2i+1]) if Interleaved (DeepSeek), else (x[i], x[i+R/2]) (Llama, Qwen):
//
//	(a, b) → (a·cos − b·sin, a·sin + b·cos)
//
// Inverse rotates back, which is also the gradient. Y may be X. X and Y are activations:
// each is F32 or BF16. Cos and Sin are F32.
type RoPE struct {
	Y, X                 View // [N, H, D]
	Pos                  View // [N] I32
	Cos, Sin             View // [P, R/2]
	Interleaved, Inverse bool
}

func (o *RoPE) Name() string { return "RoPE" }

func (o *RoPE) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
	visit(&o.Pos, Read)
	visit(&o.Cos, Read)
	visit(&o.Sin, Read)
}

func (o *RoPE) Check() error {
	c := check(o).activations(&o.X, &o.Y).statistics(&o.X, &o.Cos, &o.Sin).ints(&o.Pos)
	c.rank("X", &o.X, 3).rank("Cos", &o.Cos, 2)
	if c.err == nil {
		n, h, d, half := o.X.Shape[0], o.X.Shape[1], o.X.Shape[2], o.Cos.Shape[1]
		c.thatViews(2*half <= d, "X %v, Cos %v: more angles than pairs", &o.X, &o.Cos).
			shape("Y", &o.Y, n, h, d).shape("Pos", &o.Pos, n).shape("Sin", &o.Sin, o.Cos.Shape[0], half).
			unitStride("X", &o.X).unitStride("Y", &o.Y).contiguous("Cos", &o.Cos).contiguous("Sin", &o.Sin)
	}
	return c.done()
}

// Decompose computes RoPE by its definition.
func (o *RoPE) Decompose(x *Expander) {
	n, h, d, half := o.X.Shape[0], o.X.Shape[1], o.X.Shape[2], o.Cos.Shape[1]
	dt := o.X.DType.Compute()
	pair := func(v View) (a, b View) {
		if o.Interleaved {
			return v.step2(0), v.step2(1)
		}
		return v.Slice(2, 0, half), v.Slice(2, half, 2*half)
	}
	cos, sin := x.Temp(dt, n, half), x.Temp(dt, n, half)
	x.Do(&Gather{Y: cos, X: o.Cos, Index: o.Pos})
	x.Do(&Gather{Y: sin, X: o.Sin, Index: o.Pos})
	if o.Inverse {
		x.affine(sin, sin, -1, 0)
	}
	c, s := cos.Unsqueeze(1), sin.Unsqueeze(1)
	from, to := o.X.Slice(2, d-2*half, d), o.Y.Slice(2, d-2*half, d)
	a, b := pair(from)
	first, second, part := x.Temp(dt, n, h, half), x.Temp(dt, n, h, half), x.Temp(dt, n, h, half)
	x.binary(Mul, first, a, c)
	x.binary(Mul, part, b, s)
	x.binary(Sub, first, first, part)
	x.binary(Mul, second, a, s)
	x.binary(Mul, part, b, c)
	x.binary(Add, second, second, part)
	a, b = pair(to)
	x.copy(a, first)
	x.copy(b, second)
	x.copy(o.Y.Slice(2, 0, d-2*half), o.X.Slice(2, 0, d-2*half))
}
