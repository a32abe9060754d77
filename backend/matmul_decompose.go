package backend

// Decompose multiplies all rows by every matrix and keeps the rows of its group.
func (o *GroupedMatMul) Decompose(x *Expander) {
	m, n := o.C.Shape[0], o.C.Shape[1]
	groups := o.Offsets.Shape[0] - 1
	product := x.Temp(o.C.DType.Compute(), m, n)
	for e := range groups {
		x.Do(&MatMul{C: product, A: o.A, B: o.B.Index(e)})
		x.choose(o.C, x.group(o.Offsets, e, m), product, o.C)
	}
}

// Decompose multiplies all rows once for each group, with the rows of other groups set to
// 0.
func (o *GroupedOuter) Decompose(x *Expander) {
	zero := x.constant(o.C.DType, 0)
	a, b := x.Temp(o.A.DType, o.A.Dims()...), x.Temp(o.B.DType, o.B.Dims()...)
	for e := range o.C.Shape[0] {
		mask := x.group(o.Offsets, e, o.A.Shape[0])
		x.choose(a, mask, o.A, zero)
		x.choose(b, mask, o.B, zero)
		x.Do(&MatMul{C: o.C.Index(e), A: a.T(), B: Matrix{Data: b, Format: o.Format}, Accumulate: true})
	}
}

// group returns the mask [M, 1] of the rows of group e.
func (x *Expander) group(offsets View, e, m int) View {
	return x.window(offsets.Slice(0, e, e+1), offsets.Slice(0, e+1, e+2), m).T()
}
