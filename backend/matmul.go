package backend

// Layout says how a Matrix lies in memory.
type Layout uint8

const (
	Strided Layout = iota // Data is the logical matrix itself
	Panels                // Data is a backend-specific packed copy made by Pack
)

var layoutNames = []string{"strided", "panels"}

func (l Layout) String() string { return word("Layout", l, layoutNames) }

// Matrix is the right-hand operand of a matrix product: a strided view, or a
// packed copy of one. Its logical shape is [..., K, N].
type Matrix struct {
	Data   View
	Layout Layout
	Format Format
	K, N   int // logical size of a packed matrix; unused when Strided
	// State lets a packed copy be recognised as outdated; nil means always
	// current.
	State *PackState
}

// Dense is a strided Matrix over v [..., K, N].
func Dense(v View) Matrix { return Matrix{Data: v} }

// Dims is the logical number of rows and columns.
func (m *Matrix) Dims() (k, n int) {
	if m.Layout == Panels {
		return m.K, m.N
	}
	return m.Data.Dim(-2), m.Data.Dim(-1)
}

// fresh requires a packed copy to be of the weights' present version.
func (c *checker) fresh(m *Matrix) *checker {
	if s := m.State; s != nil {
		c.that(s.Weights == s.Copy, "packed matrix is of version %d, the weights are at %d", int(s.Copy), int(s.Weights))
	}
	return c
}

// batch is the size of the leading dimensions: nil for a plain matrix.
func (m *Matrix) batch() []int {
	if m.Layout == Panels { // [elements] or [E, elements]
		return m.Data.Shape[:m.Data.Rank-1]
	}
	return m.Data.Shape[:m.Data.Rank-2]
}

// MatMul computes C = A·B, or C += A·B where Accumulate is set, for
// A [..., M, K], B [..., K, N], C [..., M, N] with equal leading dimensions.
//
// Each element is one chain over ascending k, starting at 0 or at the value of
// C, whatever M, N, the batch and the layouts are: the row of a single token
// has the same bits in a batch of a thousand.
//
// A and C are activations, F32 or BF16; B in Native holds F32 or BF16 (packed,
// F32 alone). The chain is F32 to its end: BF16 is widened as it is read, and C is
// rounded once.
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
	visit(&o.B.Data, Read)
}

func (o *MatMul) Check() error {
	c := check(o).fits(o.B.Format, o.B.Layout, &o.B.Data, &o.C, &o.A).fresh(&o.B)
	c.thatViews(o.A.Rank >= 2 && o.C.Rank == o.A.Rank, "A %v, C %v: want equal ranks of at least 2", &o.A, &o.C)
	c.thatViews(o.B.Layout == Panels || o.B.Data.Rank == o.A.Rank, "A %v, B %v: want equal ranks", &o.A, &o.B.Data)
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
		c.thatViews(o.A.Shape[i] == b[i] && o.C.Shape[i] == b[i], "leading dimensions of A %v, B %v, C %v differ", &o.A, &o.B.Data, &o.C)
	}
	return c.done()
}

// GroupedMatMul multiplies ragged groups of rows, one matrix per group (the
// experts of an MoE layer). Offsets [E+1] holds the first row of each group
// and the number of rows in use; rows past it are left alone.
//
//	C[r, :] = A[r, :] · B[e]   for Offsets[e] ≤ r < Offsets[e+1]
//
// A is [M, K], B [E, K, N], C [M, N], of the dtypes of MatMul. Empty groups are
// fine.
type GroupedMatMul struct {
	C, A    View
	B       Matrix
	Offsets View // [E+1] I32
}

func (o *GroupedMatMul) Name() string { return "GroupedMatMul" }

func (o *GroupedMatMul) Operands(visit func(*View, Access)) {
	visit(&o.C, Write)
	visit(&o.A, Read)
	visit(&o.B.Data, Read)
	visit(&o.Offsets, Read)
}

func (o *GroupedMatMul) Check() error {
	c := check(o).fits(o.B.Format, o.B.Layout, &o.B.Data, &o.C, &o.A).fresh(&o.B).ints(&o.Offsets).rank("A", &o.A, 2).rank("C", &o.C, 2).rank("Offsets", &o.Offsets, 1)
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

// GroupedOuter sums outer products group by group, the weight gradient of
// GroupedMatMul, in ascending row:
//
//	C[e] += Σ_r A[r, :]ᵀ · B[r, :]   over Offsets[e] ≤ r < Offsets[e+1]
//
// A is [M, P], B [M, Q], C [E, P, Q]. A and B are activations, F32 or BF16; C is
// F32.
//
// In BFloat16 the rows of a group are paired from its first one on.
type GroupedOuter struct {
	C, A, B View
	Offsets View   // [E+1] I32
	Format  Format // Native or BFloat16
}

func (o *GroupedOuter) Name() string { return "GroupedOuter" }

func (o *GroupedOuter) Operands(visit func(*View, Access)) {
	visit(&o.C, ReadWrite)
	visit(&o.A, Read)
	visit(&o.B, Read)
	visit(&o.Offsets, Read)
}

func (o *GroupedOuter) Check() error {
	c := check(o).fits(o.Format, Strided, &o.B, &o.A).statistics(&o.A, &o.C).
		ints(&o.Offsets).rank("A", &o.A, 2).rank("B", &o.B, 2).rank("C", &o.C, 3)
	if c.err == nil {
		c.shape("B", &o.B, o.A.Shape[0], o.B.Shape[1]).
			shape("C", &o.C, o.C.Shape[0], o.A.Shape[1], o.B.Shape[1]).
			shape("Offsets", &o.Offsets, o.C.Shape[0]+1)
	}
	return c.done()
}

// Packer is a backend that has a faster layout for matrices used many times.
type Packer interface {
	// PackedLen is the dtype and the number of elements of a [k, n] matrix of
	// dtype dt packed in format f; 0 elements if the backend does not pack that.
	PackedLen(f Format, dt DType, k, n int) (DType, int)
}

// Pack writes Src [K, N] or [E, K, N] to Dst [len] or [E, len] in the
// backend's panel layout and the given format. Src is F32 or F64 for Native, F32
// or BF16 for the others.
type Pack struct {
	Dst, Src View
	Format   Format
}

func (o *Pack) Name() string { return "Pack" }

func (o *Pack) Operands(visit func(*View, Access)) {
	visit(&o.Dst, Write)
	visit(&o.Src, Read)
}

func (o *Pack) Check() error {
	c := check(o).known(o.Format).contiguous("Dst", &o.Dst)
	if o.Format == Native {
		c.float(&o.Dst, &o.Src)
	} else {
		c.thatViews(o.Src.DType == F32 || o.Src.DType == BF16, "Src %v, want F32 or BF16", &o.Src)
	}
	c.thatViews(o.Src.Rank == 2 || o.Src.Rank == 3, "Src %v, want rank 2 or 3", &o.Src)
	c.thatViews(o.Dst.Rank == o.Src.Rank-1, "Dst %v for Src %v", &o.Dst, &o.Src)
	if c.err == nil && o.Src.Rank == 3 {
		c.thatViews(o.Dst.Shape[0] == o.Src.Shape[0], "Dst %v for Src %v", &o.Dst, &o.Src)
	}
	return c.done()
}

// Unpack writes the values that products with the packed matrix Src use to Dst
// [K, N] or [E, K, N], which is F32 (F64 for a matrix packed from F64).
type Unpack struct {
	Dst View
	Src Matrix
}

func (o *Unpack) Name() string { return "Unpack" }

func (o *Unpack) Operands(visit func(*View, Access)) {
	visit(&o.Dst, Write)
	visit(&o.Src.Data, Read)
}

func (o *Unpack) Check() error {
	c := check(o).fits(o.Src.Format, o.Src.Layout, &o.Src.Data, &o.Dst).float(&o.Dst).fresh(&o.Src)
	c.that(o.Src.Layout == Panels, "the matrix is not packed")
	c.thatViews(o.Dst.Rank == o.Src.Data.Rank+1, "Dst %v for packed Src %v", &o.Dst, &o.Src.Data)
	if c.err == nil {
		c.that(o.Dst.Dim(-2) == o.Src.K && o.Dst.Dim(-1) == o.Src.N, "Dst [%d %d] of a packed [%d %d] matrix", o.Dst.Dim(-2), o.Dst.Dim(-1), o.Src.K, o.Src.N)
		c.thatViews(o.Dst.Rank == 2 || o.Dst.Shape[0] == o.Src.Data.Shape[0], "Dst %v for packed Src %v", &o.Dst, &o.Src.Data)
	}
	return c.done()
}

// PackState tells whether a packed copy still matches the weights it was made
// from: RL changes them every step.
type PackState struct{ Weights, Copy uint64 }
