package backend

// Gather computes Y[i, :] = X[Index[i], :]. A negative index gives a row of zeros. Index
// is [N], X is [R, D], Y is [N, D]. X and Y have the same dtype, which may be any, or
// each is F32 or BF16.
type Gather struct{ Y, X, Index View }

func (o *Gather) Name() string { return "Gather" }

func (o *Gather) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
	visit(&o.Index, Read)
}

func (o *Gather) Check() error {
	c := check(o).ints(&o.Index).rank("X", &o.X, 2).rank("Y", &o.Y, 2).rank("Index", &o.Index, 1)
	if c.err == nil {
		c.shape("Y", &o.Y, o.Index.Shape[0], o.X.Shape[1]).
			convertible(&o.X, &o.Y)
	}
	return c.done()
}

// Scatter writes rows: Y[Index[i], :] = X[i, :], or += if Add is set. Rows are processed
// in ascending i, so repeated indices are deterministic: the last one wins, or all are
// added in order. Negative indices are skipped; rows of Y that are not in Index keep
// their values. X and Y have the same dtype, which may be any, or each is F32 or BF16.
// With Add, Y is F32, F64 or I32.
type Scatter struct {
	Y, X, Index View // [R, D], [N, D], [N] I32
	Add         bool
}

func (o *Scatter) Name() string {
	if o.Add {
		return "ScatterAdd"
	}
	return "Scatter"
}

func (o *Scatter) Operands(visit func(*View, Access)) {
	visit(&o.Y, ReadWrite)
	visit(&o.X, Read)
	visit(&o.Index, Read)
}

func (o *Scatter) Check() error {
	c := check(o).ints(&o.Index).rank("X", &o.X, 2).rank("Y", &o.Y, 2).rank("Index", &o.Index, 1)
	if c.err == nil {
		c.shape("X", &o.X, o.Index.Shape[0], o.Y.Shape[1]).
			convertible(&o.X, &o.Y).thatViews(!o.Add || o.Y.DType == F32 || o.Y.DType == F64 || o.Y.DType == I32,
			"sums in %v, want F32, F64 or I32", &o.Y)
	}
	return c.done()
}

// GatherLast picks elements of each row: Y[i, j] = X[i, Index[i, j]]. A negative index
// gives 0. X and Y are F32 or F64.
type GatherLast struct{ Y, X, Index View } // [N, K], [N, E], [N, K] I32

func (o *GatherLast) Name() string { return "GatherLast" }

func (o *GatherLast) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
	visit(&o.Index, Read)
}

func (o *GatherLast) Check() error {
	c := check(o).ints(&o.Index).float(&o.Y, &o.X).rank("X", &o.X, 2).rank("Index", &o.Index, 2)
	if c.err == nil {
		c.shape("Index", &o.Index, o.X.Shape[0], o.Index.Shape[1]).
			shape("Y", &o.Y, o.X.Shape[0], o.Index.Shape[1])
	}
	return c.done()
}

// ScatterLast adds to elements of each row, in ascending j: Y[i, Index[i, j]] += X[i, j].
// Negative indices are skipped. It is the gradient of GatherLast and takes the same
// dtypes.
type ScatterLast struct{ Y, X, Index View } // [N, E], [N, K], [N, K] I32

func (o *ScatterLast) Name() string { return "ScatterLast" }

func (o *ScatterLast) Operands(visit func(*View, Access)) {
	visit(&o.Y, ReadWrite)
	visit(&o.X, Read)
	visit(&o.Index, Read)
}

func (o *ScatterLast) Check() error {
	c := check(o).ints(&o.Index).float(&o.Y, &o.X).rank("Y", &o.Y, 2).rank("Index", &o.Index, 2)
	if c.err == nil {
		c.shape("Index", &o.Index, o.Y.Shape[0], o.Index.Shape[1]).
			shape("X", &o.X, o.Y.Shape[0], o.Index.Shape[1])
	}
	return c.done()
}
