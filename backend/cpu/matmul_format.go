package cpu

import (
	"sort"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// M is the rows of A and C, N the columns of B and C, K the reduction length.

// A unit of work is a block of C. It has at most the rows and columns that the
// encoding says. Where there would be fewer than leastUnits units per thread,
// units are halved, down to about leastHeight rows and leastWidth columns: the
// kernels rearrange A for each unit. Products of up to fewRows rows, which
// mostly read B, have units of narrowColumns columns.
//
// The rows of a unit are a multiple of rowUnit, its columns one of
// narrowColumns, but for the last rows and columns of a product.
//
// If each of several products, such as those of the experts of an MoE layer, has
// a right operand that is to be packed, a unit has all rows of its product and
// packs its own columns: about ownBytes of panels, but at least leastWidth
// columns. So panels are multiplied while they are in the second-level cache,
// and memory is read once instead of read, written and read again. This is not
// done if a unit would have more work than a thread has with leastUnits units.
const (
	ownBytes      = 1 << 19
	leastUnits    = 4
	leastHeight   = 64
	leastWidth    = 128
	fewRows       = 32
	narrowColumns = 64
	rowUnit       = 32
)

// part is one matrix product of an op: a matrix of a batch, or a group of rows.
type part struct {
	m, k   int
	a      operand[float32] // left operand, starting at its first row
	c      operand[float32]
	b      right  // right operand if it is to be packed
	rows   []byte // encoded rows of A, in formatted.left or in A itself
	stride int    // stride of rows in bytes
	panels int    // offset of the right operand's panels in formatted.right, in bytes
	height int    // rows of a unit
	unit   int    // number of units before this part
}

// formatted is the state that products in formats other than Native reuse.
type formatted struct {
	*encoding
	parts      []part
	n          int
	columns    int  // columns of a unit, whole panels unless it has all
	own        bool // a unit has all rows of its part and packs its own columns
	accumulate bool
	left       []byte // encoded left operands
	right      []byte // panels of right operands: packed for this op, or the op's packed matrix

	memory      []byte
	encoder     encodeRows
	packer      packFormat
	unpacker    unpackFormat
	dequantiser dequantiseColumns
}

// open starts an op on right operands of n columns.
func (f *formatted) open(e *encoding, n int, accumulate bool) {
	f.encoding, f.n, f.accumulate, f.parts = e, n, accumulate, f.parts[:0]
}

// add appends a product of m rows. Its right operand is b if that is strided,
// else the panels at byte offset panels.
func (f *formatted) add(m, k int, a, c operand[float32], b right, panels int) {
	if m > 0 && f.n > 0 {
		f.parts = append(f.parts, part{m: m, k: k, a: a, c: c, b: b, panels: panels})
	}
}

// multiply computes the products. strided says that the right operands must be
// packed first, shared that all parts use the first one's.
func (f *formatted) multiply(p *pool, strided, shared bool) {
	units, work := f.cut(len(p.workers), strided && !shared)
	panels, most := 0, 0
	for i := range f.parts {
		t := &f.parts[i]
		most = max(most, t.m)
		if strided && !f.own {
			if t.panels = panels; shared {
				t.panels = 0
			}
			panels += f.packedBytes(t.k, f.n)
		}
	}
	f.encoder.do(p, f)
	if strided && !f.own {
		f.memory = growHuge(f.memory, panels)
		f.right = f.memory
		f.packer.parts(p, f, shared)
	}
	// One row takes as long as several, since reading B takes the time.
	perUnit := max(work, 8*work/max(most, 1)) / max(units, 1)
	grain := ceil(pieceWork, max(perUnit, 1))
	if !f.own {
		grain = max(grain, units/(16*len(p.workers)))
	}
	p.run(units, grain, f)
	clear(f.parts) // releases the operands for garbage collection
	f.right = nil
}

// cut chooses the size of units. It returns their number and the number of
// multiply-adds. strided says that each part has a right operand of its own that
// is to be packed.
func (f *formatted) cut(workers int, strided bool) (units, work int) {
	most, depth := 0, 0
	for i := range f.parts {
		t := &f.parts[i]
		work += t.m * t.k * f.n
		most, depth = max(most, t.m), max(depth, t.k)
	}
	f.own = false
	if strided && len(f.parts) > 1 && depth > 0 {
		columns := max(ownBytes*asm.PanelWidth/f.panelBytes(depth), leastWidth)
		columns = min(evenly(f.n, columns, max(f.encoding.columns, narrowColumns)), f.cols)
		if most*depth*min(columns, f.n)*leastUnits*workers <= work {
			f.own, f.columns = true, columns
			for i := range f.parts {
				t := &f.parts[i]
				t.unit, t.height = units, evenly(t.m, f.rows, rowUnit)
				units += ceil(f.n, columns)
			}
			return units, work
		}
	}
	rows, columns := f.rows, evenly(f.n, f.cols, narrowColumns)
	if most <= fewRows {
		columns = narrowColumns
	}
	for {
		rows, columns = min(rows, most), min(columns, f.n)
		f.columns, units = columns, 0
		for i := range f.parts {
			t := &f.parts[i]
			t.unit, t.height = units, evenly(t.m, rows, rowUnit)
			units += ceil(t.m, t.height) * ceil(f.n, columns)
		}
		switch wide, tall := columns > leastWidth, rows >= 2*leastHeight; {
		case workers == 1 || units == 0 || units >= leastUnits*workers || work <= units*pieceWork:
			return units, work
		case wide && (columns >= rows || !tall):
			columns = evenly(f.n, (columns+1)/2, narrowColumns)
		case tall:
			rows = evenly(rows, (rows+1)/2, rowUnit)
		default:
			return units, work
		}
	}
}

// run computes units [lo, hi). Within a part, the row blocks of one block of
// columns follow each other.
func (f *formatted) run(w *worker, lo, hi int) {
	i := sort.Search(len(f.parts), func(i int) bool { return f.parts[i].unit > lo }) - 1
	for ; lo < hi; lo++ {
		t := &f.parts[i]
		u := lo - t.unit
		if f.own {
			f.packAndMultiply(w, t, u*f.columns)
		} else {
			blocks := ceil(t.m, t.height)
			j := u / blocks * f.columns
			f.block(w, t, u%blocks*t.height, j, f.right[min(t.panels+j/asm.PanelWidth*f.panelBytes(t.k), len(f.right)):])
		}
		if i+1 < len(f.parts) && lo+1 == f.parts[i+1].unit {
			i++
		}
	}
}

// packAndMultiply computes the unit of t that has all rows and starts at column
// j.
func (f *formatted) packAndMultiply(w *worker, t *part, j int) {
	n := min(f.columns, f.n-j)
	w.panels = growHuge(w.panels, f.packedBytes(t.k, n))
	if t.k > 0 {
		f.packOperand(w.panels, t.b.columns(j), t.k, n, w)
	}
	for i := 0; i < t.m; i += t.height {
		f.block(w, t, i, j, w.panels)
	}
}

// block computes at most t.height rows, from row i on, of the unit of t that starts
// at column j and has the given panels.
func (f *formatted) block(w *worker, t *part, i, j int, panels []byte) {
	m, n := min(t.height, t.m-i), min(f.columns, f.n-j)
	var rows []byte
	if t.k > 0 {
		rows = t.rows[i*t.stride:]
	}
	c := t.c.from(i*t.c.rs + j*t.c.cs)
	if c.half == nil && (c.cs == 1 || n == 1) {
		f.gemm(m, n, t.k, rows, t.stride, panels, c.data, c.rs, f.accumulate)
		return
	}
	ld := n + 16 // rows a power of two apart would compete for a few cache sets
	buf := scratch[float32](w, m*ld)
	if f.accumulate {
		c.read(buf, m, n, ld)
	}
	f.gemm(m, n, t.k, rows, t.stride, panels, buf, ld, f.accumulate)
	c.write(buf, m, n, ld)
}

// encodeRows is the job that encodes left operands that are not encoded
// already. It is split by rows, which are numbered across the parts.
type encodeRows struct {
	f     *formatted
	parts []*part
	first []int // number of each part's first row
}

func (e *encodeRows) do(p *pool, f *formatted) {
	e.f, e.parts, e.first = f, e.parts[:0], e.first[:0]
	rows, work, size := 0, 0, 0
	for i := range f.parts {
		t := &f.parts[i]
		if t.rows, t.stride = f.encodedRows(t.a, t.m, t.k, f.n); t.rows != nil || t.k == 0 {
			continue
		}
		e.parts, e.first = append(e.parts, t), append(e.first, rows)
		rows += t.m
		work += t.m * t.k
		size += t.m * f.rowBytes(t.k)
	}
	f.left = growHuge(f.left, size)
	at := f.left
	for _, t := range e.parts {
		t.stride = f.rowBytes(t.k)
		t.rows, at = at[:t.m*t.stride], at[t.m*t.stride:]
	}
	// Encoding several panels of rows at a time is faster if A is transposed.
	const together = 4 * asm.PanelWidth
	grain := 1 + elements*rows/max(work, 1)
	p.run(rows, ceil(grain, together)*together, e)
	clear(e.parts) // releases the operands for garbage collection
}

func (e *encodeRows) run(w *worker, lo, hi int) {
	i := sort.SearchInts(e.first, lo+1) - 1
	for lo < hi {
		t := e.parts[i]
		from := lo - e.first[i]
		n := min(t.m-from, hi-lo)
		e.f.encodeOperand(t.rows[from*t.stride:], t.a.rows(from), n, t.k, w)
		lo += n
		i++
	}
}

func (b *CPU) formatMatMul(o *backend.MatMul) error {
	e, err := b.encoded(o, &o.B)
	if err == nil {
		b.formatted.matMul(b.pool, e, o)
	}
	return err
}

func (b *CPU) formatGroupedMatMul(o *backend.GroupedMatMul) error {
	e, err := b.encoded(o, &o.B)
	if err == nil {
		b.formatted.groupedMatMul(b.pool, e, o, b.offsets(o, &o.Offsets, o.A.Shape[0]))
	}
	return err
}

func (b *CPU) formatGroupedOuter(o *backend.GroupedOuter) error {
	e, err := b.encoded(o, &backend.Matrix{Format: o.Format})
	if err == nil {
		b.formatted.groupedOuter(b.pool, e, o, b.offsets(o, &o.Offsets, o.A.Shape[0]))
	}
	return err
}

func (f *formatted) matMul(p *pool, e *encoding, o *backend.MatMul) {
	if o.C.Len() == 0 {
		return
	}
	strided := o.B.Layout == backend.Strided
	r := o.A.Rank
	k, n := o.B.Dims()
	f.open(e, n, o.Accumulate)
	a, c := operandOf[float32](&o.A), operandOf[float32](&o.C)
	batches, batch := [2]int{1, 1}, [2]int{}
	copy(batches[4-r:], o.A.Shape[:r-2])
	b := rightOf(&o.B)
	if !strided {
		f.right = f.packedBytesOf(o, &o.B)
		copy(batch[4-r:], o.B.Data.Strides[:r-2])
	}
	size := o.B.Data.DType.Size()
	for e0 := range batches[0] {
		for e1 := range batches[1] {
			f.add(o.A.Shape[r-2], k, a.matrix(e0, e1), c.matrix(e0, e1), b.matrix(e0, e1), (e0*batch[0]+e1*batch[1])*size)
		}
	}
	f.multiply(p, strided, strided && b.repeats())
}

func (f *formatted) groupedMatMul(p *pool, e *encoding, o *backend.GroupedMatMul, groups []int) {
	strided := o.B.Layout == backend.Strided
	k, n := o.B.Dims()
	f.open(e, n, false)
	a, c := operandOf[float32](&o.A), operandOf[float32](&o.C)
	b := rightOf(&o.B)
	if !strided {
		f.right = f.packedBytesOf(o, &o.B)
	}
	step := o.B.Data.Strides[0] * o.B.Data.DType.Size()
	for i := range len(groups) - 1 {
		f.add(groups[i+1]-groups[i], k, a.rows(groups[i]), c.rows(groups[i]), b.matrix(0, i), i*step)
	}
	f.multiply(p, strided, false)
}

func (f *formatted) groupedOuter(p *pool, e *encoding, o *backend.GroupedOuter, groups []int) {
	f.open(e, o.B.Shape[1], true)
	a, b, c := operandOf[float32](&o.A), operandOf[float32](&o.B), operandOf[float32](&o.C)
	for i := range len(groups) - 1 {
		if k := groups[i+1] - groups[i]; k > 0 {
			f.add(o.A.Shape[1], k, a.rows(groups[i]).transposed(), c.matrix(0, i), right{operand: b.rows(groups[i])}, 0)
		}
	}
	f.multiply(p, true, false)
}
