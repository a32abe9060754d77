package backend

// MLAKeys assembles the keys of multi-head latent attention (DeepSeek-V2 §2.1.3) from the
// up-projected latent Up, of which each head has the part of the key without position and
// then the value, and from the rotary key KR that all heads share. Token i writes key row
// p = Row[i], or p = i without Row:
//
//	K[p, h, :] = (Up[i, h, :n], RoPE(KR[i, :]))    V[p, h, :] = Up[i, h, n:]
//
// V is optional, since the values can also be read as a view of Up. With Row, K and V are
// a cache: no two tokens share a row, a token with a negative row is skipped, and other
// rows keep their values. Pos, Cos, Sin and Interleaved are as in RoPE. K, V, Up and KR
// are activations: each is F32 or BF16. Cos and Sin are F32.
type MLAKeys struct {
	K, V        View // [R, H, n+r], [R, H, v]
	Up          View // [N, H, n+v]
	KR          View // [N, r]
	Pos, Row    View // [N] I32; Row is optional: R is then N
	Cos, Sin    View // [P, r/2]
	Interleaved bool
}

func (o *MLAKeys) Name() string { return "MLAKeys" }

func (o *MLAKeys) Operands(visit func(*View, Access)) {
	written := Write
	if o.Row.Present() {
		written = ReadWrite // rows of other tokens keep their values
		visit(&o.Row, Read)
	}
	visit(&o.K, written)
	if o.V.Present() {
		visit(&o.V, written)
	}
	visit(&o.Up, Read)
	visit(&o.KR, Read)
	visit(&o.Pos, Read)
	visit(&o.Cos, Read)
	visit(&o.Sin, Read)
}

func (o *MLAKeys) Check() error {
	c := check(o).activations(&o.K, &o.V, &o.Up, &o.KR).statistics(&o.K, &o.Cos, &o.Sin).ints(&o.Pos, &o.Row)
	c.latentKeys(&o.K, &o.V, &o.Up, &o.KR, &o.Pos, &o.Cos, &o.Sin, o.Row.Present())
	if c.err == nil {
		c.shape("Row", &o.Row, o.Up.Shape[0])
	}
	return c.done()
}

// latentKeys requires the shapes that MLAKeys and MLAKeysGrad share.
func (c *checker) latentKeys(k, v, up, kR, pos, cos, sin *View, cached bool) *checker {
	c.rank("K", k, 3).rank("Up", up, 3).rank("Cos", cos, 2)
	if c.err != nil {
		return c
	}
	n, h, r := up.Shape[0], up.Shape[1], 2*cos.Shape[1]
	rows, nope := n, k.Shape[2]-r
	if cached {
		rows = k.Shape[0]
	}
	c.thatViews(nope >= 0 && nope <= up.Shape[2],
		"K %v, Up %v, Cos %v: want at least 2·Cos in K and the rest of K in Up", k, up, cos)
	if c.err != nil {
		return c
	}
	return c.shape("K", k, rows, h, nope+r).shape("V", v, rows, h, up.Shape[2]-nope).shape("KR", kR, n, r).
		shape("Pos", pos, n).shape("Sin", sin, cos.Shape[0], r/2).
		unitStride("K", k).unitStride("V", v).unitStride("Up", up).unitStride("KR", kR).
		contiguous("Cos", cos).contiguous("Sin", sin)
}

// Decompose computes MLAKeys by its definition.
func (o *MLAKeys) Decompose(x *Expander) {
	n, h, r := o.Up.Shape[0], o.Up.Shape[1], o.KR.Shape[1]
	nope := o.K.Shape[2] - r
	k, value := o.K, o.Up.Slice(2, nope, o.Up.Shape[2])
	if o.Row.Present() {
		k = x.Temp(o.K.DType, n, h, nope+r)
	}
	x.copy(k.Slice(2, 0, nope), o.Up.Slice(2, 0, nope))
	x.Do(&RoPE{
		Y: k.Slice(2, nope, nope+r), X: o.KR.Unsqueeze(1).BroadcastTo(n, h, r),
		Pos: o.Pos, Cos: o.Cos, Sin: o.Sin, Interleaved: o.Interleaved,
	})
	if !o.Row.Present() {
		if o.V.Present() {
			x.copy(o.V, value)
		}
		return
	}
	if o.V.Present() {
		value = x.as(o.V.DType, value)
	}
	for i := range h {
		x.Do(&Scatter{Y: o.K.head(i), X: k.head(i), Index: o.Row})
		if o.V.Present() {
			x.Do(&Scatter{Y: o.V.head(i), X: value.head(i), Index: o.Row})
		}
	}
}

// head returns head i of v [N, H, D] as a view [N, D].
func (v View) head(i int) View { return v.Permute(1, 0, 2).Index(i) }

// MLAKeysGrad is the backward pass of MLAKeys without Row:
//
//	DUp[i, h, :] = (DK[i, h, :n], DV[i, h, :])    DKR[i, :] = RoPE⁻¹(Σ_h DK[i, h, n:])
//
// The sum over heads is in ascending h. DUp, DKR, DK and DV are activations: each is F32
// or BF16. Cos and Sin are F32.
type MLAKeysGrad struct {
	DUp, DKR    View // [N, H, n+v], [N, r]
	DK, DV      View // [N, H, n+r], [N, H, v]
	Pos         View // [N] I32
	Cos, Sin    View // [P, r/2]
	Interleaved bool
}

func (o *MLAKeysGrad) Name() string { return "MLAKeysGrad" }

func (o *MLAKeysGrad) Operands(visit func(*View, Access)) {
	visit(&o.DUp, Write)
	visit(&o.DKR, Write)
	visit(&o.DK, Read)
	visit(&o.DV, Read)
	visit(&o.Pos, Read)
	visit(&o.Cos, Read)
	visit(&o.Sin, Read)
}

func (o *MLAKeysGrad) Check() error {
	c := check(o).activations(&o.DK, &o.DV, &o.DUp, &o.DKR).statistics(&o.DK, &o.Cos, &o.Sin).ints(&o.Pos)
	return c.latentKeys(&o.DK, &o.DV, &o.DUp, &o.DKR, &o.Pos, &o.Cos, &o.Sin, false).done()
}

// Decompose computes MLAKeysGrad by its definition.
func (o *MLAKeysGrad) Decompose(x *Expander) {
	n, r := o.DKR.Shape[0], o.DKR.Shape[1]
	nope := o.DK.Shape[2] - r
	x.copy(o.DUp.Slice(2, 0, nope), o.DK.Slice(2, 0, nope))
	x.copy(o.DUp.Slice(2, nope, o.DUp.Shape[2]), o.DV)
	sum := x.Temp(o.DK.DType.Compute(), n, r)
	x.reduce(Sum, sum, o.DK.Slice(2, nope, nope+r).Permute(0, 2, 1))
	x.Do(&RoPE{
		Y: o.DKR.Unsqueeze(1), X: sum.Unsqueeze(1),
		Pos: o.Pos, Cos: o.Cos, Sin: o.Sin, Interleaved: o.Interleaved, Inverse: true,
	})
}
