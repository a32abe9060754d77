package backend

// Packer is a backend that has a faster layout for matrices that are used many times.
type Packer interface {
	// PackedLen returns the dtype and the number of elements of a [k, n] matrix of dtype
	// dt when packed in format f; 0 elements if the backend does not pack such a matrix.
	PackedLen(f Format, dt DType, k, n int) (DType, int)
}

// PackColumns is the granularity of Pack: the columns that it writes begin at a multiple
// of PackColumns. A backend that stores columns in panels uses a width that divides it.
const PackColumns = 128

// Pack writes Src [..., K, n] to the columns of Dst [..., K, N] that begin at Column, in
// the form and format of Dst. Src and Dst are matrices or stacks of matrices.
//
// Dst is packed, or strided and scaled. Src is strided: F32 or F64 if the format is
// Native, F32 or BF16 for other formats. Or Src is scaled and has Dst's format; its
// elements, scales and minimums are then copied unchanged. Scales are computed for blocks
// of Src, so Column is a multiple of PackColumns, and so is n, unless the columns end
// with the last one of Dst.
type Pack struct {
	Dst, Src Matrix
	Column   int
}

func (o *Pack) Name() string { return "Pack" }

func (o *Pack) Operands(visit func(*View, Access)) {
	a := Write
	if !o.whole() {
		a = ReadWrite
	}
	o.Dst.operands(visit, a)
	o.Src.operands(visit, Read)
}

// whole reports whether all columns of Dst are written.
func (o *Pack) whole() bool {
	if o.Src.Data.Rank < 2 || o.Dst.Layout == Strided && o.Dst.Data.Rank < 2 { // Check refuses these
		return true
	}
	_, n := o.Dst.Dims()
	return o.Src.Data.Dim(-1) >= n
}

func (o *Pack) Check() error {
	dst, src := &o.Dst, &o.Src
	f := dst.Format
	c := check(o).validFormat(f)
	if c.err != nil {
		return c.done()
	}
	if dst.Layout == Packed {
		c.contiguous("Dst", &dst.Data).thatViews(dst.Data.Rank > 0, "Dst %v, want rank 1 or 2", &dst.Data)
	} else {
		c.thatViews(dst.Scale.Present(), "Dst %v is neither packed nor scaled", &dst.Data).scaled(dst)
	}
	c.that(src.Layout == Strided, "Src is packed already")
	c.thatViews(src.Data.Rank == 2 || src.Data.Rank == 3, "Src %v, want rank 2 or 3", &src.Data)
	switch {
	case c.err != nil:
		return c.done()
	case src.Scale.Present():
		if src.Format != f {
			c.failf("Src in format %s, Dst in %s", src.Format, f)
		}
		c.scaled(src)
	case f == Native:
		c.float(&dst.Data, &src.Data)
	default:
		c.thatViews(src.Data.DType == F32 || src.Data.DType == BF16, "Src %v, want F32 or BF16", &src.Data)
	}
	batch := dst.batch()
	c.thatViews(len(batch) == src.Data.Rank-2, "Dst %v for Src %v", &dst.Data, &src.Data)
	if c.err == nil && len(batch) == 1 {
		c.thatViews(batch[0] == src.Data.Shape[0], "Dst %v for Src %v", &dst.Data, &src.Data)
	}
	k, n := dst.Dims()
	end := o.Column + src.Data.Dim(-1)
	c.that(src.Data.Dim(-2) == k && o.Column >= 0 && end <= n, "columns [%d:%d] of %d rows into [%d %d]", o.Column,
		end, src.Data.Dim(-2), k, n)
	c.that(o.Column%PackColumns == 0 && (end == n || end%PackColumns == 0),
		"columns [%d:%d] of %d, want multiples of %d", o.Column, end, n, PackColumns)
	return c.done()
}

// Unpack writes the values of Src that products use to Dst [K, N] or [E, K, N]. Src is
// packed, or strided and scaled. With Index, Dst is [K, n] and gets the columns Index of
// Src, and zeros for a negative index: these are rows of an embedding [N, K]. Dst is F32
// or BF16, or F64 if Src was packed from F64.
type Unpack struct {
	Dst   View
	Src   Matrix
	Index View // [n] I32; optional
}

func (o *Unpack) Name() string { return "Unpack" }

func (o *Unpack) Operands(visit func(*View, Access)) {
	visit(&o.Dst, Write)
	o.Src.operands(visit, Read)
	if o.Index.Present() {
		visit(&o.Index, Read)
	}
}

func (o *Unpack) Check() error {
	c := check(o).matrix(&o.Src, &o.Dst).ints(&o.Index)
	c.that(o.Src.Layout == Packed || o.Src.Scale.Present(), "Src is neither packed nor scaled")
	if c.err != nil {
		return c.done()
	}
	batch := o.Src.batch()
	c.thatViews(o.Dst.Rank == 2+len(batch) && o.Dst.Rank <= 3, "Dst %v for Src %v", &o.Dst, &o.Src.Data)
	if c.err != nil {
		return c.done()
	}
	k, n := o.Src.Dims()
	if o.Index.Present() {
		c.rank("Dst", &o.Dst, 2).rank("Index", &o.Index, 1)
		n = o.Index.Len()
	}
	c.that(o.Dst.Dim(-2) == k && o.Dst.Dim(-1) == n, "Dst [%d %d], want [%d %d]", o.Dst.Dim(-2), o.Dst.Dim(-1), k, n)
	c.thatViews(o.Dst.Rank == 2 || o.Dst.Shape[0] == batch[0], "Dst %v for Src %v", &o.Dst, &o.Src.Data)
	return c.done()
}

// PackState has the version of the weights and the version from which a packed copy was
// made. They differ if the copy is outdated: RL changes the weights in every step.
type PackState struct{ Weights, Copy uint64 }
