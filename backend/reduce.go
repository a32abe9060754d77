package backend

// ReduceFn selects the function of a Reduce op.
type ReduceFn uint8

const (
	Sum        ReduceFn = iota
	SumSquares          // Σ x²
	ReduceMax           // −Inf if there are no elements; NaN if any is NaN
)

var reduceNames = []string{"Sum", "SumSquares", "ReduceMax"}

func (f ReduceFn) String() string { return word("ReduceFn", f, reduceNames) }

// Reduce reduces the last dimension: Y[...] = Fn over j of X[..., j]. The order of
// summation depends only on the length of that dimension. X and Y are each F32 or BF16.
type Reduce struct {
	Y, X View
	Fn   ReduceFn
}

func (o *Reduce) Name() string { return o.Fn.String() }

func (o *Reduce) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
}

func (o *Reduce) Check() error {
	c := check(o).activations(&o.X, &o.Y).thatViews(o.X.Rank >= 1, "X %v has no dimension to reduce", &o.X)
	if c.err == nil {
		c.shape("Y", &o.Y, o.X.Shape[:o.X.Rank-1]...)
	}
	return c.done()
}

// Softmax computes Y[..., j] = exp(X[..., j]) / Σ exp(X[..., ·]) over the last dimension,
// with the row's maximum subtracted first. Y may be X. X and Y are each F32 or BF16.
type Softmax struct{ Y, X View }

func (o *Softmax) Name() string { return "Softmax" }

func (o *Softmax) Operands(visit func(*View, Access)) {
	visit(&o.Y, Write)
	visit(&o.X, Read)
}

func (o *Softmax) Check() error {
	return check(o).activations(&o.X, &o.Y).shape("X", &o.X, o.Y.Shape[:o.Y.Rank]...).
		thatViews(o.X.Rank >= 1, "X %v has no dimension to normalise", &o.X).done()
}

// TopK finds the K largest elements of each row of X [N, E], in descending order. Ties go
// to the lowest index. NaN counts as −Inf, also in Values, which is optional. X and
// Values are each F32 or BF16.
type TopK struct {
	Values View // [N, K]
	Index  View // [N, K] I32
	X      View // [N, E]
}

func (o *TopK) Name() string { return "TopK" }

func (o *TopK) Operands(visit func(*View, Access)) {
	if o.Values.Present() {
		visit(&o.Values, Write)
	}
	visit(&o.Index, Write)
	visit(&o.X, Read)
}

func (o *TopK) Check() error {
	c := check(o).ints(&o.Index).rank("X", &o.X, 2).rank("Index", &o.Index, 2)
	if c.err == nil {
		c.activations(&o.X, &o.Values).
			shape("Index", &o.Index, o.X.Shape[0], o.Index.Shape[1]).
			shape("Values", &o.Values, o.X.Shape[0], o.Index.Shape[1]).
			that(o.Index.Shape[1] <= o.X.Shape[1], "K %d of %d columns", o.Index.Shape[1], o.X.Shape[1])
	}
	return c.done()
}
