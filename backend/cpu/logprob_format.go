package cpu

import "github.com/aha-go/aha/backend"

// formattedRows is the number of rows whose logits for a chunk of the
// vocabulary are in memory at a time (4 MiB) if W has a format other than
// Native.
const formattedRows = 256

// formattedLogProb is LinearLogProb with W in a format other than Native. It is
// a job over up to formattedRows rows, starting at row first.
type formattedLogProb struct {
	linearLogProb[float32]
	z     []float32 // [rows, chunk]
	first int
}

func (j *formattedLogProb) do(p *pool, f *formatted, e *encoding, o *backend.LinearLogProb) {
	j.begin(o)
	h := &j.head
	for v := 0; v < h.vocab; v += backend.VocabChunk {
		width := h.chunk(v)
		for j.first = 0; j.first < len(j.scores); j.first += formattedRows {
			rows := min(formattedRows, len(j.scores)-j.first)
			j.z = growHuge(j.z, rows*width)
			f.logits(p, e, o, h, &o.W, j.z, j.first, rows)
			p.run(rows, rowGrain(4*width), j)
		}
	}
	j.end()
}

func (j *formattedLogProb) run(w *worker, lo, hi int) {
	width := j.head.hi - j.head.lo
	buf := scratch[float32](w, width)
	for r := lo; r < hi; r++ {
		z := j.z[r*width:][:width]
		scale(z, z, j.head.invTemp)
		j.fold(j.first+r, z, buf)
	}
}

func (b *CPU) formatLogProb(o *backend.LinearLogProb) error {
	e, err := b.encoded(o, &o.W)
	if err == nil {
		b.formattedLogProb.do(b.pool, &b.formatted, e, o)
	}
	return err
}

func (b *CPU) formatLogProbGrad(o *backend.LinearLogProbGrad) error {
	e, err := b.encoded(o, &o.W)
	if err == nil {
		j := &b.f32.fused.linearLogProbGrad
		j.encoding, j.formatted = e, &b.formatted
		j.do(b.pool, o)
		j.encoding, j.formatted = nil, nil
	}
	return err
}

// logits writes the product of rows of X, starting at row i, and the current
// chunk of W to z, without gaps.
func (f *formatted) logits(p *pool, e *encoding, op backend.Op, h *head[float32], w *backend.Matrix, z []float32, i,
	rows int) {
	width := h.hi - h.lo
	f.open(e, width, false)
	c := operand[float32]{data: z, rs: width, cs: 1}
	if w.Layout == backend.Packed {
		f.right = f.packedBytesOf(op, w)
		f.add(rows, h.d, h.x.rows(i), c, right{}, f.packedBytes(h.d, h.lo))
	} else {
		f.add(rows, h.d, h.x.rows(i), c, rightOf(w).columns(h.lo), 0)
	}
	f.multiply(p, w.Layout == backend.Strided, true)
}

// formattedSpan is linearLogProbGrad.span for W in a format other than Native.
func formattedSpan(g *linearLogProbGrad[float32], p *pool, lo, hi int) {
	h, f, e := &g.head, g.formatted, g.encoding
	for v := 0; v < h.vocab; v += backend.VocabChunk {
		width := h.chunk(v)
		w := right{operand: rightOf(&g.W).columns(v).transposed()}
		for g.first = lo; g.first < hi; g.first += gradRows {
			g.rows = min(gradRows, hi-g.first)
			g.dz = grow(g.dz, g.rows*width)
			f.logits(p, e, g.LinearLogProbGrad, h, &g.W, g.dz, g.first, g.rows)
			p.run(g.rows, rowGrain(4*width), (*formattedLogitGrad)(g))
			dz := operand[float32]{data: g.dz, rs: width, cs: 1}
			if g.DX.Present() {
				f.open(e, h.d, true)
				f.add(g.rows, width, dz, g.dx.rows(g.first-g.start), w, 0)
				f.multiply(p, true, true)
			}
			if g.DW.Present() {
				f.open(e, h.d, true)
				f.add(width, g.rows, dz.transposed(), operandOf[float32](&g.DW).rows(v), right{operand: h.x.rows(g.first)}, 0)
				f.multiply(p, true, true)
			}
		}
	}
}

// formattedLogitGrad is a job over the current rows: it turns logits into
// InvTemp·dz.
type formattedLogitGrad linearLogProbGrad[float32]

func (j *formattedLogitGrad) run(w *worker, lo, hi int) {
	g := (*linearLogProbGrad[float32])(j)
	width := g.head.hi - g.head.lo
	buf := scratch[float32](w, width)
	for r := lo; r < hi; r++ {
		z := g.dz[r*width:][:width]
		scale(z, z, g.head.invTemp)
		g.logitGrad(z, buf, g.first+r)
	}
}
