package cpu

import (
	"slices"
	"sync/atomic"

	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Matrix products C = A·B: M is the rows of A and C, N the columns of B and C,
// K the reduction length. An element of C is one chain of multiply-adds in
// ascending k that continues from the stored element where K is split. So the
// bits do not depend on how M, N and K are split, nor on which operand is
// transposed: Cᵀ = Bᵀ·Aᵀ.

const (
	pieceWork    = 1 << 17 // multiply-adds that are worth handing to another thread
	unitsEach    = 8       // units per thread: enough for all threads to finish at about the same time
	minRows      = 2       // one row takes as long as this many, since reading B takes the time
	strip        = 24      // rows that divide into whole strips of 6 or 8 rows, or nearly equal ones of up to 14
	leastRows    = 4 * strip
	acrossRows   = 64      // minimum rows of a unit if A is transposed, so that its rows are adjacent
	leastColumns = 64      // minimum columns of a unit: four panels
	blockK       = 2048    // maximum rows of B that are packed at a time
	blockSize    = 1 << 17 // maximum elements of B that are packed at a time: 512 KiB stay in the second-level cache
	manyRows     = 336     // minimum rows of A for which packing all of B at once pays off
	maxShared    = 1 << 22 // maximum elements of B that are packed for all threads at a time
	tileRows     = 96      // size of the tile in which a C that is BF16 or has strided columns is computed
	tileColumns  = 256
	tileK        = 384     // columns of a BF16 A that are widened at a time
	maxSums      = 1 << 17 // maximum elements of a BF16 C whose float32 sums are kept while K is split
)

// ragged is the dimension that group offsets split, if any.
type ragged uint8

const (
	batched    ragged = iota // none: the parts are the matrices of a batch
	raggedRows               // the rows of A and C
	raggedK                  // the columns of A and rows of B
)

// gemm is the job of one matrix op: the products of its parts, which are the
// matrices of a batch or the groups of a ragged op. A unit is a range of rows
// and columns of one part's C. A unit packs its columns of B block by block,
// right before it multiplies with each block. If many rows use the same B, or
// fewer of a transposed A, the threads first pack all of B together.
type gemm[T number] struct {
	c, a, b    operand[T]
	packed     bool // b is packed in panels
	m, n, k    int  // shape of a part; the ragged dimension is that of all parts together
	inner      int  // part e is matrix (e/inner, e%inner) of the batch
	ragged     ragged
	groups     []int // offsets of the groups
	accumulate bool

	rows, columns int   // size of a unit
	first         []int // number of units before each part, and in all

	shared         []T // all of B in panels, used if packs is not 0
	packs          int // number of pieces in which the threads pack shared
	piece          int // columns of a piece
	claimed, ended atomic.Int64
}

// part returns the shape of part e and the offsets of its operands.
func (g *gemm[T]) part(e int) (m, k, a, b, c int) {
	m, k = g.m, g.k
	e0, e1 := e/g.inner, e%g.inner
	a = e0*g.a.batch[0] + e1*g.a.batch[1]
	b = e0*g.b.batch[0] + e1*g.b.batch[1]
	c = e0*g.c.batch[0] + e1*g.c.batch[1]
	switch g.ragged {
	case raggedRows:
		m = g.groups[e+1] - g.groups[e]
		a += g.groups[e] * g.a.rs
		c += g.groups[e] * g.c.rs
	case raggedK:
		k = g.groups[e+1] - g.groups[e]
		a += g.groups[e] * g.a.cs
		b += g.groups[e] * g.b.rs
	}
	return m, k, a, b, c
}

// multiply computes the products of all parts.
func (s *products[T]) multiply(p *pool, parts int) {
	g := &s.gemm
	if g.n == 0 {
		return
	}
	if g.k == 0 { // no elements to read, although offsets may lie outside of the memory
		g.a, g.b = operand[T]{}, operand[T]{}
	}
	workers := len(p.workers)
	work := g.cut(parts, workers)
	units := g.first[parts]
	grain := 1
	if work <= pieceWork {
		grain = units
	} else if per := work / units; per < pieceWork {
		grain = min(ceil(pieceWork, per), ceil(units, 4*workers))
	}
	if g.packs > 0 {
		_, k, _, _, _ := g.part(0)
		g.shared = s.reserve(asm.PackedSize(k, g.n))
		g.claimed.Store(0)
		g.ended.Store(0)
	}
	p.run(units, grain, g)
}

// cut chooses the size of units: large enough that packing costs little, small
// enough that the threads finish together. It returns the number of
// multiply-adds of all parts.
func (g *gemm[T]) cut(parts, workers int) (work int) {
	most, depth := 0, 0 // rows and reduction length of the largest part
	for e := range parts {
		if m, k, _, _, _ := g.part(e); m > 0 {
			work += max(m, minRows) * g.n * k
			most, depth = max(most, m), max(depth, k)
		}
	}
	wanted := 1 // units of the largest part, proportional to its share of the work
	if workers > 1 && work > 0 {
		all := min(unitsEach*workers, ceil(work, pieceWork))
		wanted = max(1, ceil(all*max(most, minRows)*g.n*depth, work))
	}
	var down, across int // units of the largest part by rows and by columns
	step := strip
	transposed := g.a.rs == 1 && g.a.cs != 1
	g.packs = 0
	switch {
	case !g.packed && parts == 1 && workers > 1 && wanted > 1 && (most >= manyRows || g.n < wanted*leastColumns ||
		transposed && most >= 2*acrossRows && g.n*depth <= maxShared):
		g.piece = leastColumns
		if g.n < g.piece*workers {
			g.piece = asm.PanelWidth
		}
		g.packs = ceil(g.n, g.piece)
		if !transposed {
			down, across = grid(wanted, most/leastRows, g.n/leastColumns)
			break
		}
		// The AVX-512 kernels pack a transposed A for each unit, so a unit has
		// all columns if there are enough units.
		step = 1
		down, _ = grid(wanted, most/acrossRows, 1)
		_, across = grid(min(wanted, 2*workers), down, g.n/leastColumns)
	case !g.packed:
		block := blockSize / max(evenly(depth, blockK, asm.PanelWidth), 1)
		wanted = max(wanted, ceil(g.n, block))
		if g.c.half != nil && depth > blockK {
			wanted = max(wanted, ceil(most*g.n, maxSums))
		}
		across, down = grid(wanted, g.n/leastColumns, most/manyRows)
	case most >= g.n:
		down, across = grid(wanted, most/leastRows, g.n/leastColumns)
	default:
		across, down = grid(wanted, g.n/leastColumns, most/leastRows)
	}
	g.rows = evenly(most, ceil(most, down), step)
	g.columns = evenly(g.n, ceil(g.n, across), leastColumns)
	g.first = append(g.first[:0], 0)
	for e := range parts {
		units := 0
		if m, k, _, _, _ := g.part(e); m > 0 && (k > 0 || !g.accumulate) {
			units = ceil(m, g.rows) * ceil(g.n, g.columns)
		}
		g.first = append(g.first, g.first[e]+units)
	}
	return work
}

// grid returns into how many pieces to split each of two dimensions to get the
// wanted number of units. It splits the first before the second, each into no
// more than its limit.
func grid(wanted, firstLimit, secondLimit int) (first, second int) {
	first = max(1, min(wanted, firstLimit))
	return first, max(1, min(ceil(wanted, first), secondLimit))
}

// evenly returns the size of the pieces if n is split into equal pieces no
// longer than limit. The size is rounded up to a multiple of unit.
func evenly(n, limit, unit int) int {
	pieces := max(ceil(n, max(limit, 1)), 1)
	return max(ceil(ceil(n, pieces), unit), 1) * unit
}

func (g *gemm[T]) run(w *worker, lo, hi int) {
	if g.packs > 0 {
		g.packShared()
	}
	e, found := slices.BinarySearch(g.first, lo)
	if !found {
		e--
	}
	for ; lo < hi; lo++ {
		for lo >= g.first[e+1] {
			e++
		}
		g.unit(w, e, lo-g.first[e])
	}
}

// packShared helps to pack B and returns when all of B is packed.
func (g *gemm[T]) packShared() {
	for {
		i := int(g.claimed.Add(1)) - 1
		if i >= g.packs {
			break
		}
		g.packPiece(i)
	}
	for spin := 0; int(g.ended.Load()) < g.packs; spin++ {
		pause(spin)
	}
}

// packPiece packs one of g.packs pieces of B. It counts the piece as ended even
// if it panics, so that no thread waits for it forever.
func (g *gemm[T]) packPiece(i int) {
	defer g.ended.Add(1)
	_, k, _, b, _ := g.part(0) // packs > 0 only if there is one part
	j := i * g.piece
	packOperand(g.shared[j*k:], g.b.from(b+j*g.b.cs), k, min(g.piece, g.n-j))
}

// unit computes unit u of part e. Units of the same columns have successive
// numbers.
func (g *gemm[T]) unit(w *worker, e, u int) {
	m, k, a, b, c := g.part(e)
	down := ceil(m, g.rows)
	i, j := u%down*g.rows, u/down*g.columns
	m, n := min(g.rows, m-i), min(g.columns, g.n-j)
	as, cs := g.a.from(a+i*g.a.rs), g.c.from(c+i*g.c.rs+j*g.c.cs)
	switch {
	case k == 0:
		product(m, n, 0, operand[T]{}, nil, 0, cs, false, scratch[T](w, tileSize(as, cs)))
	case g.packed:
		product(m, n, k, as, g.b.data[b+j*k:], k*asm.PanelWidth, cs, g.accumulate, scratch[T](w, tileSize(as, cs)))
	case g.packs > 0:
		product(m, n, k, as, g.shared[j*k:], k*asm.PanelWidth, cs, g.accumulate, scratch[T](w, tileSize(as, cs)))
	default:
		g.blocks(w, m, n, k, as, g.b.from(b+j*g.b.cs), cs)
	}
}

// blocks computes an m×n product and packs B block by block. The sums of a BF16
// C stay in float32 until the last block.
func (g *gemm[T]) blocks(w *worker, m, n, k int, a, b, c operand[T]) {
	block := evenly(k, max(blockSize/g.columns, asm.PanelWidth), asm.PanelWidth)
	sums := 0
	if c.half != nil && block < k {
		sums = m * n
	}
	buf := scratch[T](w, sums+asm.PackedSize(min(block, k), n)+tileSize(a, c))
	to := c
	if sums > 0 {
		to, buf = operand[T]{data: buf[:sums], rs: n, cs: 1}, buf[sums:]
		if g.accumulate {
			c.read(to.data, m, n, n)
		}
	}
	for p := 0; p < k; p += block {
		depth := min(block, k-p)
		panels := buf[:asm.PackedSize(depth, n)]
		packOperand(panels, b.from(p*b.rs), depth, n)
		product(m, n, depth, a.from(p*a.cs), panels, depth*asm.PanelWidth, to, g.accumulate || p > 0, buf[len(panels):])
	}
	if sums > 0 {
		c.write(to.data, m, n, n)
	}
}

// tileSize returns the length of the buffer that product needs.
func tileSize[T number](a, c operand[T]) int {
	size := 0
	if c.half != nil || c.cs != 1 {
		size += tileRows * tileColumns
	}
	if a.half != nil {
		size += tileRows * tileK
	}
	return size
}

// product computes an m×n product with b in panels, whose starts are step
// elements apart. If A or C is BF16 or the columns of C are not adjacent, it
// works through tiles in buf.
func product[T number](m, n, k int, a operand[T], b []T, step int, c operand[T], accumulate bool, buf []T) {
	direct := c.half == nil && c.cs == 1
	if direct && a.half == nil {
		gemmPart(m, n, k, a.data, a.rs, a.cs, b, step, c.data, c.rs, accumulate)
		return
	}
	depth := max(k, 1)
	if a.half != nil {
		depth = tileK
	}
	tile, wide := buf, buf
	if !direct {
		wide = buf[tileRows*tileColumns:]
	}
	for i := 0; i < m; i += tileRows {
		rows := min(tileRows, m-i)
		for j := 0; j < n; j += tileColumns {
			cols := min(tileColumns, n-j)
			to, ld := c.from(i*c.rs+j*c.cs), cols
			if direct {
				tile, ld = to.data, c.rs
			} else if accumulate {
				to.read(tile, rows, cols, cols)
			}
			for p := 0; p == 0 || p < k; p += depth {
				part := min(depth, k-p)
				x := a.from(i*a.rs+p*a.cs).whole(rows, part, wide)
				panels := b[min(j/asm.PanelWidth*step+p*asm.PanelWidth, len(b)):]
				gemmPart(rows, cols, part, x.data, x.rs, x.cs, panels, step, tile, ld, accumulate || p > 0)
			}
			if !direct {
				to.write(tile, rows, cols, cols)
			}
		}
	}
}

// gemmPacked calls gemmPart with panels of k rows.
func gemmPacked[T number](m, n, k int, a []T, ars, acs int, b, c []T, ldc int, accumulate bool) {
	gemmPart(m, n, k, a, ars, acs, b, k*asm.PanelWidth, c, ldc, accumulate)
}

// gemmPart computes C = A·B or C += A·B on the calling goroutine; see
// asm.GemmPart for the layout. The float64 loop is the definition.
func gemmPart[T number](m, n, k int, a []T, ars, acs int, b []T, step int, c []T, ldc int, accumulate bool) {
	if a, ok := any(a).([]float32); ok {
		asm.GemmPart(m, n, k, a, ars, acs, any(b).([]float32), step, any(c).([]float32), ldc, accumulate)
		return
	}
	for j := 0; j < n; j += asm.PanelWidth {
		panel := b[j/asm.PanelWidth*step:][:k*asm.PanelWidth]
		width := min(asm.PanelWidth, n-j)
		for i := range m {
			var row [asm.PanelWidth]T
			out := c[i*ldc+j:][:width]
			if accumulate {
				copy(row[:], out)
			}
			for q := 0; q < width; q += 4 { // four columns at a time share the loads of A
				c0, c1, c2, c3 := row[q], row[q+1], row[q+2], row[q+3]
				for p := range k {
					x, y := a[i*ars+p*acs], panel[p*asm.PanelWidth+q:][:4]
					c0 += T(x * y[0])
					c1 += T(x * y[1])
					c2 += T(x * y[2])
					c3 += T(x * y[3])
				}
				row[q], row[q+1], row[q+2], row[q+3] = c0, c1, c2, c3
			}
			copy(out, row[:])
		}
	}
}
