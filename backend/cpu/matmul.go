package cpu

import (
	"fmt"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// Legend: M rows of A and C, N columns of B and C, K the reduction length. An
// element of C is one chain over ascending k, so any split of M and N gives the
// same bits, and so does exchanging the operands: Cᵀ = Bᵀ·Aᵀ.

const (
	rowUnit     = 24      // rows of C that are split off together
	pieceWork   = 1 << 17 // multiply-adds that are worth handing to another thread
	maxPanels   = 1 << 24 // elements of B packed at a time
	tileRows    = 48      // the tile through which a C without unit stride goes
	tileColumns = 256
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

// gemm is the work of one op: products of strided A and packed B.
type gemm[T number] struct {
	c, a       operand[T]
	b          []T    // panels
	bBatch     [2]int // strides of b's matrices
	batches    [2]int
	m, n, k    int
	accumulate bool
	byColumns  bool // units are panels of columns, not rowUnits of rows
}

// split chooses what the threads divide: rows, which leaves each thread its own
// rows of A, unless there are too few of them.
func (g *gemm[T]) split(workers int) (units, grain int) {
	if g.k == 0 {
		g.a = operand[T]{} // nothing to read, wherever its strides lead
	}
	g.byColumns = g.m < g.n && g.m < 2*rowUnit*workers
	work := rowUnit * g.n * g.k
	units = ceil(g.m, rowUnit)
	if g.byColumns {
		work = g.m * asm.PanelWidth * g.k
		units = ceil(g.n, asm.PanelWidth)
	}
	units *= g.batches[0] * g.batches[1]
	grain = max(ceil(pieceWork, max(work, 1)), ceil(units, 4*workers))
	if g.byColumns {
		grain = (grain + 3) &^ 3 // kernels of one row take four panels at once
	}
	return units, grain
}

func (g *gemm[T]) run(w *worker, lo, hi int) {
	size, unit := g.m, rowUnit
	if g.byColumns {
		size, unit = g.n, asm.PanelWidth
	}
	for per := ceil(size, unit); lo < hi; {
		e, u := lo/per, lo%per
		count := min(per-u, hi-lo)
		from, to := u*unit, min((u+count)*unit, size)
		if g.byColumns {
			g.tile(w, e, 0, g.m, from, to)
		} else {
			g.tile(w, e, from, to, 0, g.n)
		}
		lo += count
	}
}

// tile computes rows i0 to i1 and columns j0 to j1 of product e; j0 is a
// multiple of the panel width.
func (g *gemm[T]) tile(w *worker, e, i0, i1, j0, j1 int) {
	e0, e1 := e/g.batches[1], e%g.batches[1]
	a := g.a.data[e0*g.a.batch[0]+e1*g.a.batch[1]+i0*g.a.rs:]
	b := g.b[e0*g.bBatch[0]+e1*g.bBatch[1]+j0*g.k:]
	c := g.c.data[e0*g.c.batch[0]+e1*g.c.batch[1]+i0*g.c.rs+j0*g.c.cs:]
	g.multiply(w, i1-i0, j1-j0, g.k, a, b, c)
}

// multiply computes an m×n product whose operands begin at a, b and c.
func (g *gemm[T]) multiply(w *worker, m, n, k int, a, b, c []T) {
	if g.c.cs == 1 || n == 1 {
		gemmPacked(m, n, k, a, g.a.rs, g.a.cs, b, c, g.c.rs, g.accumulate)
		return
	}
	buf := scratch[T](w, tileRows*tileColumns)
	for i := 0; i < m; i += tileRows {
		rows := min(tileRows, m-i)
		for j := 0; j < n; j += tileColumns {
			cols := min(tileColumns, n-j)
			if g.accumulate {
				for r := range rows {
					for q := range cols {
						buf[r*cols+q] = c[(i+r)*g.c.rs+(j+q)*g.c.cs]
					}
				}
			}
			gemmPacked(rows, cols, k, a[i*g.a.rs:], g.a.rs, g.a.cs, b[j*k:], buf, cols, g.accumulate)
			for r := range rows {
				for q := range cols {
					c[(i+r)*g.c.rs+(j+q)*g.c.cs] = buf[r*cols+q]
				}
			}
		}
	}
}

// products is a backend's reusable state for the matrix ops of one dtype.
type products[T number] struct {
	panels  []T // packed copies of B
	pack    packing[T]
	gemm    gemm[T]
	grouped grouped[T]
	outer   outer[T]
	rows    packRows[T]
}

// reserve is n elements for panels, with undefined content.
func (s *products[T]) reserve(n int) []T {
	if cap(s.panels) < n {
		s.panels = make([]T, n)
	}
	return s.panels[:n]
}

func (b *CPU) matMul(o *backend.MatMul) {
	if o.C.DType == backend.F64 {
		b.f64.matMul(b.pool, o)
	} else {
		b.f32.matMul(b.pool, o)
	}
}

func (s *products[T]) matMul(p *pool, o *backend.MatMul) {
	if o.C.Len() == 0 {
		return
	}
	g := &s.gemm
	c, a := operandOf[T](&o.C), operandOf[T](&o.A)
	r := o.A.Rank
	k, n := o.B.Dims()
	*g = gemm[T]{c: c, a: a, m: o.A.Shape[r-2], n: n, k: k, batches: [2]int{1, 1}, accumulate: o.Accumulate}
	copy(g.batches[4-r:], o.A.Shape[:r-2])
	if o.B.Layout == backend.Panels {
		g.b = panelsOf[T](o, &o.B)
		copy(g.bBatch[4-r:], o.B.Data.Strides[:r-2])
		units, grain := g.split(len(p.workers))
		p.run(units, grain, g)
		return
	}
	b := operandOf[T](&o.B.Data)
	if c.cs != 1 && c.rs == 1 {
		c, a, b = c.transposed(), b.transposed(), a.transposed()
		g.c, g.a, g.m, g.n = c, a, g.n, g.m
		n = g.n
	}
	// Matrices that B repeats by stride 0 are packed once.
	distinct := g.batches
	for i := range distinct {
		if b.batch[i] == 0 {
			distinct[i] = 1
		}
	}
	step := max(maxPanels/max(k*distinct[0]*distinct[1], 1)&^(asm.PanelWidth-1), asm.PanelWidth)
	for j := 0; j < n; j += step {
		g.n = min(step, n-j)
		s.pack = packing[T]{src: b, k: k, n: g.n, inner: distinct[1]}
		s.pack.src.data = b.data[j*b.cs:]
		g.b = s.packAll(p, distinct[0]*distinct[1])
		g.bBatch = [2]int{0, 0}
		if distinct[1] > 1 {
			g.bBatch[1] = s.pack.size()
		}
		if distinct[0] > 1 {
			g.bBatch[0] = distinct[1] * s.pack.size()
		}
		g.c.data = c.data[j*c.cs:]
		units, grain := g.split(len(p.workers))
		p.run(units, grain, g)
	}
}

// panelsOf is the memory of a packed matrix, whose length must be PackedLen.
func panelsOf[T number](op backend.Op, m *backend.Matrix) []T {
	if want := asm.PackedSize(m.K, m.N); m.Data.Dim(-1) != want {
		panic(fmt.Errorf("cpu: %s: packed B %v of a [%d %d] matrix, want %d elements", op.Name(), m.Data, m.K, m.N, want))
	}
	return data[T](&m.Data)
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

// ceil is a/b rounded up.
func ceil(a, b int) int { return (a + b - 1) / b }
