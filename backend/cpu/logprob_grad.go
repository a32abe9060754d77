package cpu

import "github.com/aha-go/aha/backend"

const (
	// gradRows and sumsRows are multiples of 32, where every kernel path may
	// split K.
	gradRows  = 256  // rows whose dz is in memory at a time: 4 MiB with backend.VocabChunk columns
	gradBlock = 24   // rows, or entries of the vocabulary, of one unit of work
	sumsRows  = 1024 // rows of a BF16 DX whose sums over the vocabulary are in memory at a time
)

// linearLogProbGrad processes the vocabulary in chunks and the rows in runs of
// gradRows. For each chunk and run it is a job over blocks of rows that
// computes dz and adds to DX; headWeightGrad then adds to DW. The outer loop is
// over chunks, except that a BF16 DX goes through all chunks for sumsRows rows
// before the next rows. Each element of DX and DW is one chain of multiply-adds
// in ascending order of vocabulary or rows, so the sizes above do not change
// any bit.
type linearLogProbGrad[T number] struct {
	*backend.LinearLogProbGrad
	head        head[T]
	packW       packing[T] // packs W[chunk]
	packX       packing[T] // packs X[first:first+rows]
	first, rows int
	dz          []T        // [rows, chunk], multiplied by InvTemp
	dx          operand[T] // DX, or the sums of a BF16 DX for rows starting at start
	start       int
	sums        []T

	encoding  *encoding // for products in formats other than Native
	formatted *formatted
}

func (j *linearLogProbGrad[T]) do(p *pool, o *backend.LinearLogProbGrad) {
	j.LinearLogProbGrad = o
	h, n := &j.head, o.X.Shape[0]
	h.open(o, &o.X, &o.W, o.InvTemp)
	for _, t := range data[int32](&o.Target)[:n] {
		if t >= 0 {
			row("LinearLogProbGrad", "target", t, h.vocab)
		}
	}
	if !o.DX.Present() || o.DX.DType != backend.BF16 {
		if o.DX.Present() {
			j.dx = operandOf[T](&o.DX)
		}
		j.span(p, 0, n)
	} else {
		dx := operandOf[T](&o.DX)
		for start := 0; start < n; start += sumsRows {
			rows := min(sumsRows, n-start)
			j.sums = grow(j.sums, rows*h.d)
			j.dx, j.start = operand[T]{data: j.sums, rs: h.d, cs: 1}, start
			j.span(p, start, start+rows)
			dx.rows(start).write(j.sums, rows, h.d, h.d)
		}
	}
	j.LinearLogProbGrad, j.dx, j.start = nil, operand[T]{}, 0
}

// span computes rows [lo, hi) of DX and adds the contribution of these rows to
// DW.
func (j *linearLogProbGrad[T]) span(p *pool, lo, hi int) {
	h := &j.head
	if j.DX.Present() {
		for i := lo; i < hi; i++ {
			clear(j.dx.rows(i - j.start).data[:h.d])
		}
	}
	if g, ok := any(j).(*linearLogProbGrad[float32]); ok && g.encoding != nil {
		formattedSpan(g, p, lo, hi)
		return
	}
	for v := 0; v < h.vocab; v += backend.VocabChunk {
		h.load(p, v)
		width := h.hi - h.lo
		if j.DX.Present() {
			packRange(p, &j.packW, h.w.from(v*h.w.cs).transposed(), width, h.d)
		}
		for j.first = lo; j.first < hi; j.first += gradRows {
			j.rows = min(gradRows, hi-j.first)
			j.dz = grow(j.dz, j.rows*width)
			p.run(ceil(j.rows, gradBlock), 1, j)
			if j.DW.Present() {
				packRange(p, &j.packX, h.x.rows(j.first), j.rows, h.d)
				p.run(ceil(width, gradBlock), 1, (*headWeightGrad[T])(j))
			}
		}
	}
}

func (j *linearLogProbGrad[T]) run(w *worker, lo, hi int) {
	h := &j.head
	width := h.hi - h.lo
	buf := scratch[T](w, max(width, h.scratch()))
	for b := lo; b < hi; b++ {
		from := b * gradBlock
		n := min(gradBlock, j.rows-from)
		dz := j.dz[from*width:][:n*width]
		h.logits(dz, j.first+from, n, buf)
		for r := range n {
			j.logitGrad(dz[r*width:][:width], buf[:width], j.first+from+r)
		}
		if j.DX.Present() {
			dx := j.dx.rows(j.first + from - j.start)
			gemmPacked(n, h.d, width, dz, width, 1, j.packW.dst, dx.data, dx.rs, true)
		}
	}
}

// logitGrad turns the logits z of row i in the current chunk into InvTemp·dz.
func (j *linearLogProbGrad[T]) logitGrad(z, p []T, i int) {
	h := &j.head
	lse, dlogProb, target := data[T](&j.LSE)[i], data[T](&j.DLogProb)[i], int(data[int32](&j.Target)[i])
	if target < 0 {
		dlogProb = 0
	}
	expSub(p, z, lse)
	if j.DEntropy.Present() {
		dentropy, entropy := data[T](&j.DEntropy)[i], data[T](&j.Entropy)[i]
		for v, q := range p {
			z[v] = -h.invTemp * q * (dlogProb + T(dentropy*(z[v]-lse+entropy)))
		}
	} else {
		scale(z, p, -h.invTemp*dlogProb)
	}
	if h.lo <= target && target < h.hi {
		z[target-h.lo] += T(h.invTemp * dlogProb)
	}
}

// headWeightGrad is a job over blocks of the chunk that computes DW += dzᵀ·X.
type headWeightGrad[T number] linearLogProbGrad[T]

func (j *headWeightGrad[T]) run(_ *worker, lo, hi int) {
	h := &j.head
	width := h.hi - h.lo
	from, to := lo*gradBlock, min(hi*gradBlock, width)
	dw := data[T](&j.DW)[(h.lo+from)*j.DW.Strides[0]:]
	gemmPacked(to-from, h.d, j.rows, j.dz[from:], 1, width, j.packX.dst, dw, j.DW.Strides[0], true)
}
