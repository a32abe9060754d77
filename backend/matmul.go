package backend

import "slices"

// Layout says how a Matrix is stored in memory.
type Layout uint8

const (
	Strided Layout = iota // Data is the logical matrix itself
	Packed                // Data is a backend-specific copy made by Pack
)

var layoutNames = []string{"strided", "packed"}

func (l Layout) String() string { return word("Layout", l, layoutNames) }

// Matrix is the right-hand operand of a matrix product. Its logical shape is [..., K, N].
// It has one of three forms:
//
//	strided          Data is F32, F64 or BF16; products convert it to Format
//	strided, scaled  Data has dtype Format.Element, one for each element even if
//	                 Format.Width is less; Scale [..., ⌈K/BlockK⌉, ⌈N/BlockN⌉]
//	                 has the blocks' scales, and Min their minimums if Format.Min
//	packed           Data was made by Pack and includes scales and minimums
type Matrix struct {
	Data   View
	Scale  View // only in the scaled form
	Min    View // only in the scaled form, if Format.Min
	Layout Layout
	Format Format
	K, N   int // logical size of a packed matrix; unused when Strided
	// State shows whether a packed copy is outdated. If nil, the copy is never outdated.
	State *PackState
}

// MatrixOf returns a strided Matrix over v [..., K, N].
func MatrixOf(v View) Matrix { return Matrix{Data: v} }

// Dims returns the logical numbers of rows and columns.
func (m *Matrix) Dims() (k, n int) {
	if m.Layout == Packed {
		return m.K, m.N
	}
	return m.Data.Dim(-2), m.Data.Dim(-1)
}

// Index returns matrix i of a stack of matrices.
func (m Matrix) Index(i int) Matrix {
	m.Data = m.Data.Index(i)
	if m.Scale.Present() {
		m.Scale = m.Scale.Index(i)
	}
	if m.Min.Present() {
		m.Min = m.Min.Index(i)
	}
	return m
}

// operands calls visit for the views of m.
func (m *Matrix) operands(visit func(*View, Access), a Access) {
	visit(&m.Data, a)
	if m.Scale.Present() {
		visit(&m.Scale, a)
	}
	if m.Min.Present() {
		visit(&m.Min, a)
	}
}

// fresh requires a packed copy to match the current version of the weights.
func (c *checker) fresh(m *Matrix) *checker {
	if s := m.State; s != nil {
		c.that(s.Weights == s.Copy, "packed matrix has version %d, the weights have version %d", int(s.Copy), int(s.Weights))
	}
	return c
}

// matrix requires m to have one of the three forms, and views to be activations that a
// product with m can take.
func (c *checker) matrix(m *Matrix, views ...*View) *checker {
	c.validFormat(m.Format).activations(views...).fresh(m)
	x := views[0]
	switch {
	case m.Layout == Packed:
		if m.Format == Native {
			c.statistics(x, &m.Data)
		}
		c.thatViews(!m.Scale.Present(), "Scale %v of a packed matrix, whose Data includes the scales", &m.Scale)
		c.thatViews(!m.Min.Present(), "Min %v of a packed matrix, whose Data includes the minimums", &m.Min)
	case m.Scale.Present():
		c.scaled(m)
	case m.Data.DType.Compute() != x.DType.Compute():
		c.thatViews(false, "matrix %v beside %v: want F32 or BF16, or F64 for both", &m.Data, x)
	}
	c.thatViews(m.Data.Rank > 1 || m.Data.Rank == 1 && m.Layout == Packed, "matrix %v of too low a rank", &m.Data)
	if c.err == nil && m.Format != Native && x.DType == F64 {
		c.failf("format %s is not for F64", m.Format)
	}
	return c
}

// scaled requires m to have the strided, scaled form.
func (c *checker) scaled(m *Matrix) *checker {
	f, d, s, least := m.Format, &m.Data, &m.Scale, &m.Min
	if c.err != nil {
		return c
	}
	switch {
	case f.BlockK == 0:
		c.failf("format %s has no strided form with scales", f)
	case f.Min != least.Present():
		c.failf("Min %v in format %s", *least, f)
	case d.DType != f.Element || s.DType != f.Scale:
		c.failf("Data %v, Scale %v in format %s, want %s and %s", *d, *s, f, f.Element, f.Scale)
	case d.Rank < 2 || s.Rank != d.Rank || s.Dim(-2) != blocks(d.Dim(-2), f.BlockK) || s.Dim(-1) != blocks(d.Dim(-1),
		f.BlockN):
		c.failf("Data %v, Scale %v: want a scale for each block of %d×%d", *d, *s, f.BlockK, f.BlockN)
	case f.Min && (least.DType != s.DType || !slices.Equal(least.Shape[:least.Rank], s.Shape[:s.Rank])):
		c.failf("Scale %v, Min %v: want a minimum for each scale", *s, *least)
	}
	for i := 0; c.err == nil && i < d.Rank-2; i++ {
		c.thatViews(s.Shape[i] == d.Shape[i], "leading dimensions of Data %v, Scale %v differ", d, s)
	}
	return c
}

// blocks returns the number of blocks of the given length that n elements need.
func blocks(n int, length uint16) int { return (n + int(length) - 1) / int(length) }

// batch returns the sizes of the leading dimensions; it is empty for a single matrix.
func (m *Matrix) batch() []int {
	if m.Layout == Packed { // [elements] or [E, elements]
		return m.Data.Shape[:m.Data.Rank-1]
	}
	return m.Data.Shape[:m.Data.Rank-2]
}

// MatMul computes C = A·B, or C += A·B if Accumulate is set, for A [..., M, K], B [...,
// K, N], C [..., M, N] with equal leading dimensions.
//
// Each element of C is one chain of multiply-adds in ascending k (in BFloat16, in
// ascending groups of k) that starts at 0 or at the old value of C. The chain does not
// depend on M, N, the batch or the layouts: a token's row has the same bits alone and in
// a batch of a thousand.
//
// A and C are activations: each is F32 or BF16. In Native, B is F32 or BF16 if strided
// and F32 if packed. Sums are F32: BF16 is widened when it is read, and C is rounded
// once. Other formats say how A and B are rounded first.
type MatMul struct {
	C, A       View
	B          Matrix
	Accumulate bool
}

func (o *MatMul) Name() string { return "MatMul" }

func (o *MatMul) Operands(visit func(*View, Access)) {
	if o.Accumulate {
		visit(&o.C, ReadWrite)
	} else {
		visit(&o.C, Write)
	}
	visit(&o.A, Read)
	o.B.operands(visit, Read)
}

func (o *MatMul) Check() error {
	c := check(o).matrix(&o.B, &o.C, &o.A)
	c.thatViews(o.A.Rank >= 2 && o.C.Rank == o.A.Rank, "A %v, C %v: want equal ranks of at least 2", &o.A, &o.C)
	c.thatViews(o.B.Layout == Packed || o.B.Data.Rank == o.A.Rank, "A %v, B %v: want equal ranks", &o.A, &o.B.Data)
	if c.err != nil {
		return c.done()
	}
	k, n := o.B.Dims()
	r := o.A.Rank
	m := o.A.Shape[r-2]
	c.that(o.A.Shape[r-1] == k, "A [%d %d], B [%d %d]: inner dimensions differ", m, o.A.Shape[r-1], k, n)
	c.that(o.C.Shape[r-2] == m && o.C.Shape[r-1] == n, "C [%d %d], want [%d %d]", o.C.Shape[r-2], o.C.Shape[r-1], m, n)
	b := o.B.batch()
	c.that(len(b) == r-2, "A with %d leading dimensions, B with %d", r-2, len(b))
	for i := 0; c.err == nil && i < r-2; i++ {
		c.thatViews(o.A.Shape[i] == b[i] && o.C.Shape[i] == b[i], "leading dimensions of A %v, B %v, C %v differ", &o.A,
			&o.B.Data, &o.C)
	}
	return c.done()
}

// GroupedMatMul multiplies groups of rows, each group by its own matrix (the experts of
// an MoE layer). Offsets [E+1] has the first row of each group and, at the end, the
// number of rows in use; rows beyond that are not written.
//
//	C[r, :] = A[r, :] · B[e]   for Offsets[e] ≤ r < Offsets[e+1]
//
// A is [M, K], B [E, K, N], C [M, N]. The dtypes are those of MatMul. Groups may be
// empty.
type GroupedMatMul struct {
	C, A    View
	B       Matrix
	Offsets View // [E+1] I32
}

func (o *GroupedMatMul) Name() string { return "GroupedMatMul" }

func (o *GroupedMatMul) Operands(visit func(*View, Access)) {
	visit(&o.C, Write)
	visit(&o.A, Read)
	o.B.operands(visit, Read)
	visit(&o.Offsets, Read)
}

func (o *GroupedMatMul) Check() error {
	c := check(o).matrix(&o.B, &o.C, &o.A).ints(&o.Offsets).rank("A", &o.A, 2).rank("C", &o.C, 2).rank("Offsets",
		&o.Offsets, 1)
	if o.B.Layout == Strided {
		c.rank("B", &o.B.Data, 3)
	}
	if c.err == nil {
		k, n := o.B.Dims()
		c.shape("A", &o.A, o.A.Shape[0], k).shape("C", &o.C, o.A.Shape[0], n).
			shape("Offsets", &o.Offsets, o.B.Data.Shape[0]+1)
	}
	return c.done()
}

// GroupedOuter adds up the outer products of each group's rows, in ascending row. It is
// the weight gradient of GroupedMatMul:
//
//	C[e] += Σ_r A[r, :]ᵀ · B[r, :]   over Offsets[e] ≤ r < Offsets[e+1]
//
// A is [M, P], B [M, Q], C [E, P, Q]. A and B are activations: each is F32 or BF16. C is
// F32.
//
// In BFloat16 a backend sums 2 or 32 adjacent rows at a time, counted from the first row
// of the group.
type GroupedOuter struct {
	C, A, B View
	Offsets View   // [E+1] I32
	Format  Format // not ForwardOnly
}

func (o *GroupedOuter) Name() string { return "GroupedOuter" }

func (o *GroupedOuter) Operands(visit func(*View, Access)) {
	visit(&o.C, ReadWrite)
	visit(&o.A, Read)
	visit(&o.B, Read)
	visit(&o.Offsets, Read)
}

func (o *GroupedOuter) Check() error {
	c := check(o).validFormat(o.Format).activations(&o.A, &o.B).statistics(&o.A, &o.C).
		ints(&o.Offsets).rank("A", &o.A, 2).rank("B", &o.B, 2).rank("C", &o.C, 3)
	if c.err == nil {
		c.shape("B", &o.B, o.A.Shape[0], o.B.Shape[1]).
			shape("C", &o.C, o.C.Shape[0], o.A.Shape[1], o.B.Shape[1]).
			shape("Offsets", &o.Offsets, o.C.Shape[0]+1)
	}
	if c.err == nil && (o.Format.ForwardOnly || o.Format != Native && o.A.DType == F64) {
		c.failf("format %s does not train on %s", o.Format, o.A.DType)
	}
	return c.done()
}
