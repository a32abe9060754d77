package backend

import "math"

// byGroup lays out query heads by group: [N, H, D] becomes [G, H/G, N, D].
func byGroup(v View, g int) View { return v.split(1, g).Permute(1, 2, 0, 3) }

// keysByGroup lays out K or V [R, G, D] as [G, H/G, R, D], repeated over the query heads
// of a group.
func (x *Expander) keysByGroup(v View, h int) View {
	w := v.Permute(1, 0, 2).Unsqueeze(1)
	return w.BroadcastTo(w.Shape[0], h/w.Shape[0], w.Shape[2], w.Shape[3])
}

// Decompose computes Attention with the full matrix of scores [H, N, R]. Keys outside a
// row's window are masked by selection, never by multiplication, so that a NaN there does
// not spread; a value in the window that is not finite makes its output column NaN.
func (o *Attention) Decompose(x *Expander) {
	n, h, r, g, dv := o.Q.Shape[0], o.Q.Shape[1], o.K.Shape[0], o.K.Shape[1], o.V.Shape[2]
	dt := o.Q.DType.Compute()
	keys, vals := o.K, o.V
	if o.Pages.Present() {
		rows := x.pageRows(o.Pages, r)
		keys, vals = x.gatherKeys(keys, rows), x.gatherKeys(vals, rows)
		r = rows.Shape[0]
	}
	keys = x.as(dt, keys)
	mask := x.visible(o.Start, o.Len, r)

	s := x.Temp(dt, g, h/g, n, r)
	x.Do(&MatMul{C: s, A: byGroup(x.as(dt, o.Q), g), B: MatrixOf(x.keysByGroup(keys, h).T())})
	x.affine(s, s, o.Scale, 0)
	x.choose(s, mask, s, x.constant(dt, math.Inf(-1)))

	top, sum := x.Temp(dt, g, h/g, n), x.Temp(dt, g, h/g, n)
	x.reduce(ReduceMax, top, s)
	x.finite(top)
	x.binary(Sub, s, s, top.Unsqueeze(3))
	x.unary(Exp, s, s)
	x.reduce(Sum, sum, s)
	lse := o.LSE.split(1, g).Permute(1, 2, 0)
	x.unary(Log, lse, sum)
	x.binary(Add, lse, lse, top)

	// values is V with 0 for elements that are not finite; broken is 1 at those elements.
	size, finite := x.Temp(dt, r, g, dv), x.Temp(I32, r, g, dv)
	values, broken := x.Temp(dt, r, g, dv), x.Temp(dt, r, g, dv)
	x.unary(Abs, size, vals)
	x.binary(LessEqual, size, size, x.constant(dt, dt.largest()))
	x.copy(finite, size)
	x.choose(values, finite, vals, x.constant(dt, 0))
	x.affine(broken, size, -1, 1)

	out := x.Temp(dt, g, h/g, n, dv)
	x.Do(&MatMul{C: out, A: s, B: MatrixOf(x.keysByGroup(values, h))})
	// The largest score adds exp(0) = 1, so the sum is at least 1 unless the window is empty.
	x.Do(&Unary{Y: sum, X: sum, Fn: Clamp, A: 1, B: dt.largest()})
	x.binary(Div, out, out, sum.Unsqueeze(3))

	visible, seen, spoiled := x.Temp(dt, n, r), x.Temp(dt, n, g*dv), x.Temp(I32, n, g*dv)
	x.copy(visible, mask)
	x.Do(&MatMul{C: seen, A: visible, B: MatrixOf(broken.Reshape(r, g*dv))})
	x.copy(spoiled, seen)
	x.choose(byGroup(o.O, g), spoiled.Reshape(n, g, dv).Permute(1, 0, 2).Unsqueeze(1), x.constant(dt, math.NaN()), out)
}

// pageRows returns the row of K for each row of the pages [P·PageRows], or −1 if it is
// beyond the r rows of K.
func (x *Expander) pageRows(pages View, r int) View {
	rows, within := x.Temp(I32, pages.Shape[0], PageRows), x.Temp(I32, PageRows)
	there := x.Temp(I32, pages.Shape[0], PageRows)
	x.Do(&Iota{Dst: within})
	x.binary(Mul, rows, pages.Unsqueeze(1), x.constant(I32, PageRows))
	x.binary(Add, rows, rows, within)
	x.binary(Less, there, rows, x.constant(I32, float64(r)))
	one := x.constant(I32, 1)
	x.binary(Add, rows, rows, one)
	x.binary(Mul, rows, rows, there)
	x.binary(Sub, rows, rows, one)
	return rows.Reshape(pages.Shape[0] * PageRows)
}

// gatherKeys returns the given rows of v [R, G, D], and zeros for negative row numbers.
func (x *Expander) gatherKeys(v, rows View) View {
	r, g, d := v.Shape[0], v.Shape[1], v.Shape[2]
	flat, out := x.Temp(v.DType, r, g, d), x.Temp(v.DType, rows.Shape[0], g, d)
	x.copy(flat, v)
	x.Do(&Gather{Y: out.Reshape(rows.Shape[0], g*d), X: flat.Reshape(r, g*d), Index: rows})
	return out
}

// visible returns the mask [N, R] of the keys that each query row attends to.
func (x *Expander) visible(start, length View, r int) View {
	end := x.Temp(I32, start.Shape[0])
	x.binary(Add, end, start, length)
	return x.window(start, end, r)
}

// Decompose computes AttentionGrad with the full matrix of scores. Query rows with an
// empty window and keys that no row attends to count as zeros, so that a NaN there does
// not spread.
func (o *AttentionGrad) Decompose(x *Expander) {
	n, h, r, g := o.Q.Shape[0], o.Q.Shape[1], o.K.Shape[0], o.K.Shape[1]
	dk, dv := o.Q.Shape[2], o.V.Shape[2]
	dt := o.Q.DType.Compute()
	heads := h / max(g, 1)
	mask := x.visible(o.Start, o.Len, r)
	visible, sees, seen := x.Temp(dt, n, r), x.Temp(dt, n), x.Temp(dt, r)
	x.copy(visible, mask)
	x.reduce(ReduceMax, sees, visible)
	x.reduce(ReduceMax, seen, visible.T())
	zero := x.constant(dt, 0)
	used := func(v, rows View) View {
		cond, w := x.Temp(I32, rows.Shape[0]), x.Temp(dt, v.Dims()...)
		x.Do(&Unary{Y: rows, X: rows, Fn: Clamp, A: 0, B: 1}) // the maximum of no elements is −Inf
		x.copy(cond, rows)
		x.choose(w, cond.Unsqueeze(1).Unsqueeze(2), v, zero)
		return w
	}
	q, do, out := used(o.Q, sees), used(o.DO, sees), used(o.O, sees)
	k, v := used(o.K, seen), used(o.V, seen)

	delta, product := x.Temp(dt, n, h), x.Temp(dt, n, h, dv)
	x.binary(Mul, product, do, out)
	x.reduce(Sum, delta, product)

	// P[j] = exp(S[j] − LSE) within the window, else 0.
	p, ds := x.Temp(dt, g, heads, n, r), x.Temp(dt, g, heads, n, r)
	perRow := func(v View) View { return v.split(1, g).Permute(1, 2, 0).Unsqueeze(3) }
	x.Do(&MatMul{C: p, A: byGroup(q, g), B: MatrixOf(x.keysByGroup(k, h).T())})
	x.affine(p, p, o.Scale, 0)
	x.binary(Sub, p, p, perRow(o.LSE))
	x.choose(p, mask, p, x.constant(dt, math.Inf(-1)))
	x.unary(Exp, p, p)

	x.Do(&MatMul{C: ds, A: byGroup(do, g), B: MatrixOf(x.keysByGroup(v, h).T())})
	x.binary(Sub, ds, ds, perRow(delta))
	x.binary(Mul, ds, ds, p)
	x.choose(ds, mask, ds, zero)

	dq := x.Temp(dt, g, heads, n, dk)
	x.Do(&MatMul{C: dq, A: ds, B: MatrixOf(x.keysByGroup(k, h))})
	x.affine(byGroup(o.DQ, g), dq, o.Scale, 0)

	// stacked merges the heads and the query rows of a group, so that one product sums over both.
	stacked := func(v View, d int) View {
		w := x.Temp(dt, g, heads, n, d)
		x.copy(w, byGroup(v, g))
		return w.Reshape(g, heads*n, d)
	}
	dkt, dvt := x.Temp(dt, g, r, dk), x.Temp(dt, g, r, dv)
	x.Do(&MatMul{C: dkt, A: ds.Reshape(g, heads*n, r).T(), B: MatrixOf(stacked(q, dk))})
	x.affine(o.DK.Permute(1, 0, 2), dkt, o.Scale, 0)
	x.Do(&MatMul{C: dvt, A: p.Reshape(g, heads*n, r).T(), B: MatrixOf(stacked(do, dv))})
	x.copy(o.DV.Permute(1, 0, 2), dvt)
}
