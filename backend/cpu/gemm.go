package cpu

import (
	"slices"
	"sync/atomic"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Legend: M rows of A and C, N columns of B and C, K the reduction length. An
// element of C is one chain over ascending k, continued from C where K is cut,
// so no split of M, N or K changes a bit, and neither does exchanging the
// operands: Cᵀ = Bᵀ·Aᵀ.

const (
	pieceWork    = 1 << 17 // multiply-adds that are worth handing to another thread
	unitsEach    = 8       // units per thread, so that all finish together
	minRows      = 2       // fewer rows take as long: they are bound by reading B
	strip        = 24      // units hold whole strips of every kernel, of 6 or 8 rows
	leastRows    = 4 * strip
	leastColumns = 64      // of a unit: four panels
	blockK       = 2048    // rows of B that are packed at a time, and
	blockSize    = 1 << 17 // elements of B: 512 KiB stay in the second-level cache
	manyRows     = 336     // are worth packing all of B for
	maxShared    = 1 << 22 // elements of B that are packed for all threads at a time
	tileRows     = 48      // the tile through which a C without unit stride goes
	tileColumns  = 256
)

// operand is a batch of strided matrices. Element (i, j) of matrix (e0, e1) is
// data[e0*batch[0] + e1*batch[1] + i*rs + j*cs].
type operand[T number] struct {
	data   []T
	rs, cs int
	batch  [2]int
}

func operandOf[T number](v *backend.View) operand[T] {
	o := operand[T]{data: data[T](v), rs: v.Stride(-2), cs: v.Stride(-1)}
	copy(o.batch[4-v.Rank:], v.Strides[:v.Rank-2])
	return o
}

// transposed exchanges rows and columns.
func (o operand[T]) transposed() operand[T] {
	o.rs, o.cs = o.cs, o.rs
	return o
}

// ragged says which dimension of its parts a product's groups bound.
type ragged uint8

const (
	batched    ragged = iota // none
	raggedRows               // rows of A and C
	raggedK                  // columns of A, rows of B
)

// gemm is the work of one matrix op: the products of its parts, which are the
// matrices of a batch or the groups of a ragged op. It is cut into units of rows
// and columns of one part's C. A unit packs what it needs of B block by block,
// right before it multiplies with it; where units of many rows share their part
// of B, the threads first pack all of it together.
type gemm[T number] struct {
	c, a, b    operand[T]
	packed     bool // b holds panels
	m, n, k    int  // of a part; the ragged one is that of all parts
	inner      int  // part e is matrix (e/inner, e%inner) of the batch
	ragged     ragged
	groups     []int // its bounds
	accumulate bool

	rows, columns int   // of a unit
	first         []int // the number of units before each part, then of all

	shared         []T // all of B in panels, if packs is not 0:
	packs          int // the pieces in which the threads pack it
	claimed, ended atomic.Int64
}

// part is the shape of part e and the place of its operands.
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

// multiply runs the products of all parts.
func (s *products[T]) multiply(p *pool, parts int) {
	g := &s.gemm
	if g.n == 0 {
		return
	}
	if g.k == 0 { // nothing to read, wherever the strides lead
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
		g.shared = s.reserve(asm.PackedSize(g.k, g.n))
		g.claimed.Store(0)
		g.ended.Store(0)
	}
	p.run(units, grain, g)
}

// cut chooses the units: large enough that packing costs little, small enough
// that the threads finish together. It returns the multiply-adds of all parts.
func (g *gemm[T]) cut(parts, workers int) (work int) {
	most, depth := 0, 0 // rows and reduction length of the largest part
	for e := range parts {
		if m, k, _, _, _ := g.part(e); m > 0 {
			work += max(m, minRows) * g.n * k
			most, depth = max(most, m), max(depth, k)
		}
	}
	wanted := 1 // units of the largest part: its share of all
	if workers > 1 && work > 0 {
		all := min(unitsEach*workers, ceil(work, pieceWork))
		wanted = max(1, ceil(all*max(most, minRows)*g.n*depth, work))
	}
	var down, across int // units of the largest part
	g.packs = 0
	switch {
	case !g.packed && parts == 1 && workers > 1 && wanted > 1 && (most >= manyRows || g.n < wanted*leastColumns):
		g.packs = min(4*workers, ceil(g.n, asm.PanelWidth))
		down, across = grid(wanted, most/leastRows, g.n/leastColumns)
	case !g.packed:
		block := blockSize / max(evenly(depth, blockK, asm.PanelWidth), 1)
		wanted = max(wanted, ceil(g.n, block))
		across, down = grid(wanted, g.n/leastColumns, most/manyRows)
	case most >= g.n:
		down, across = grid(wanted, most/leastRows, g.n/leastColumns)
	default:
		across, down = grid(wanted, g.n/leastColumns, most/leastRows)
	}
	g.rows = evenly(most, ceil(most, down), strip)
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

// grid is how often two dimensions are cut for the wanted number of units: the
// first before the second, each within its limit.
func grid(wanted, firstLimit, secondLimit int) (first, second int) {
	first = max(1, min(wanted, firstLimit))
	return first, max(1, min(ceil(wanted, first), secondLimit))
}

// evenly is the size of equal pieces of n that are no longer than limit, but for
// being rounded up to a multiple of unit.
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

// packShared takes part in packing B and returns when all of it is packed.
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

// packPiece packs one of g.packs pieces of B. It counts it as ended whatever
// happens, so that nobody waits in vain for one that panicked.
func (g *gemm[T]) packPiece(i int) {
	defer g.ended.Add(1)
	panels := ceil(g.n, asm.PanelWidth)
	from, to := panels*i/g.packs*asm.PanelWidth, min(panels*(i+1)/g.packs*asm.PanelWidth, g.n)
	packPanels(g.shared[from*g.k:], g.b.data[from*g.b.cs:], g.k, to-from, g.b.rs, g.b.cs)
}

// unit computes unit u of part e. Units of the same columns follow each other.
func (g *gemm[T]) unit(w *worker, e, u int) {
	m, k, a, b, c := g.part(e)
	down := ceil(m, g.rows)
	i, j := u%down*g.rows, u/down*g.columns
	m, n := min(g.rows, m-i), min(g.columns, g.n-j)
	as, cs := g.a.data[a+i*g.a.rs:], g.c.data[c+i*g.c.rs+j*g.c.cs:]
	tile := 0
	if g.c.cs != 1 {
		tile = tileRows * tileColumns
	}
	switch {
	case k == 0:
		g.product(m, n, 0, nil, nil, cs, false, scratch[T](w, tile))
	case g.packed:
		g.product(m, n, k, as, g.b.data[b+j*k:], cs, g.accumulate, scratch[T](w, tile))
	case g.packs > 0:
		g.product(m, n, k, as, g.shared[j*k:], cs, g.accumulate, scratch[T](w, tile))
	default:
		bs := g.b.data[b+j*g.b.cs:]
		block := evenly(k, max(blockSize/g.columns, asm.PanelWidth), asm.PanelWidth)
		buf := scratch[T](w, asm.PackedSize(block, n)+tile)
		for p := 0; p < k; p += block {
			depth := min(block, k-p)
			panels := buf[:asm.PackedSize(depth, n)]
			packPanels(panels, bs[p*g.b.rs:], depth, n, g.b.rs, g.b.cs)
			g.product(m, n, depth, as[p*g.a.cs:], panels, cs, g.accumulate || p > 0, buf[len(panels):])
		}
	}
}

// product computes an m×n product whose operands begin at a, b (in panels) and
// c. Where the columns of c are not adjacent, it goes through the tile.
func (g *gemm[T]) product(m, n, k int, a, b, c []T, accumulate bool, tile []T) {
	if g.c.cs == 1 {
		gemmPacked(m, n, k, a, g.a.rs, g.a.cs, b, c, g.c.rs, accumulate)
		return
	}
	for i := 0; i < m; i += tileRows {
		rows := min(tileRows, m-i)
		for j := 0; j < n; j += tileColumns {
			cols := min(tileColumns, n-j)
			if accumulate {
				for r := range rows {
					moveRow(tile[r*cols:], c[(i+r)*g.c.rs+j*g.c.cs:], cols, 1, g.c.cs)
				}
			}
			gemmPacked(rows, cols, k, a[i*g.a.rs:], g.a.rs, g.a.cs, b[j*k:], tile, cols, accumulate)
			for r := range rows {
				moveRow(c[(i+r)*g.c.rs+j*g.c.cs:], tile[r*cols:], cols, g.c.cs, 1)
			}
		}
	}
}

// gemmPacked computes C = A·B or C += A·B on the calling goroutine; see
// asm.GemmPacked for the layout. The float64 loop is the definition.
func gemmPacked[T number](m, n, k int, a []T, ars, acs int, b, c []T, ldc int, accumulate bool) {
	if a, ok := any(a).([]float32); ok {
		asm.GemmPacked(m, n, k, a, ars, acs, any(b).([]float32), any(c).([]float32), ldc, accumulate)
		return
	}
	for j := 0; j < n; j += asm.PanelWidth {
		panel := b[j*k:][:k*asm.PanelWidth]
		width := min(asm.PanelWidth, n-j)
		for i := range m {
			var row [asm.PanelWidth]T
			out := c[i*ldc+j:][:width]
			if accumulate {
				copy(row[:], out)
			}
			for q := 0; q < width; q += 4 { // four chains share the loads of A
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
