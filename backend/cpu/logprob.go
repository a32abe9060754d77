package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// headRows is the number of rows whose logits one thread computes at a time.
// With backend.VocabChunk columns, they stay in the second-level cache.
const headRows = 48

// head computes the logits z = InvTemp·X·W of a chunk of the vocabulary, with
// the bits of MatMul. The methods load and logits are for W in Native format.
type head[T number] struct {
	x        operand[T]
	w        operand[T] // W if its format is Native
	packed   bool       // w is packed in panels
	d, vocab int
	invTemp  T
	lo, hi   int        // range of the current chunk
	panels   []T        // W[:, lo:hi] in panels
	pack     packing[T] // packs panels, unless W is packed already
}

func (h *head[T]) open(op backend.Op, x *backend.View, w *backend.Matrix, invTemp float64) {
	h.x, h.packed, h.invTemp = operandOf[T](x), w.Layout == backend.Packed, T(invTemp)
	h.d, h.vocab = w.Dims()
	if h.w = (operand[T]{}); w.Format == backend.Native {
		h.w = matrixOf[T](op, w)
	}
}

// scratch returns the length of the buffer that logits needs.
func (h *head[T]) scratch() int { return tileSize(h.x, operand[T]{cs: 1}) }

// chunk makes the chunk that starts at column lo the current one.
func (h *head[T]) chunk(lo int) (width int) {
	h.lo, h.hi = lo, min(lo+backend.VocabChunk, h.vocab)
	return h.hi - h.lo
}

// load makes the chunk that starts at column lo the current one and packs it.
func (h *head[T]) load(p *pool, lo int) {
	width := h.chunk(lo)
	if h.packed {
		h.panels = h.w.data[lo*h.d:]
		return
	}
	packRange(p, &h.pack, h.w.from(lo*h.w.cs), h.d, width)
	h.panels = h.pack.dst
}

// logits computes the logits of n rows, starting at row i, for the current
// chunk into z, without gaps. buf must have h.scratch() elements.
func (h *head[T]) logits(z []T, i, n int, buf []T) {
	width := h.hi - h.lo
	z = z[:n*width]
	c := operand[T]{data: z, rs: width, cs: 1}
	product(n, width, h.d, h.x.rows(i), h.panels, h.d*asm.PanelWidth, c, false, buf)
	scale(z, z, h.invTemp)
}

// packRange packs the [k, n] matrix at the start of src into memory of pack.
func packRange[T number](p *pool, pack *packing[T], src operand[T], k, n int) {
	*pack = packing[T]{dst: pack.dst, src: src, k: k, n: n}
	pack.dst = grow(pack.dst, pack.size())
	if k > 0 {
		p.run(ceil(n, asm.PanelWidth), packGrain(k), pack)
	}
}

// linearLogProb is a job over blocks of headRows rows. It runs once per chunk
// of the vocabulary.
type linearLogProb[T number] struct {
	*backend.LinearLogProb
	head   head[T]
	scores []vocabScore[T] // score of each row over the chunks so far
}

func (j *linearLogProb[T]) do(p *pool, o *backend.LinearLogProb) {
	j.begin(o)
	for v := 0; v < j.head.vocab; v += backend.VocabChunk {
		j.head.load(p, v)
		p.run(ceil(o.X.Shape[0], headRows), 1, j)
	}
	j.end()
}

func (j *linearLogProb[T]) begin(o *backend.LinearLogProb) {
	j.LinearLogProb = o
	j.head.open(o, &o.X, &o.W, o.InvTemp)
	j.scores = grow(j.scores, o.X.Shape[0])
	target := data[int32](&o.Target)
	for i := range j.scores {
		if target[i] >= 0 {
			row("LinearLogProb", "target", target[i], j.head.vocab)
		}
		j.scores[i] = noScore[T]()
	}
}

func (j *linearLogProb[T]) end() {
	o := j.LinearLogProb
	logProb, lse, target := data[T](&o.LogProb), data[T](&o.LSE), data[int32](&o.Target)
	for i := range j.scores {
		s := &j.scores[i]
		lse[i] = s.lse()
		if target[i] < 0 {
			logProb[i] = 0
		} else {
			logProb[i] -= lse[i]
		}
		if o.Entropy.Present() {
			data[T](&o.Entropy)[i] = s.entropy()
		}
	}
	j.LinearLogProb, j.head.panels = nil, nil
}

func (j *linearLogProb[T]) run(w *worker, lo, hi int) {
	h, n := &j.head, j.X.Shape[0]
	width := h.hi - h.lo
	buf := scratch[T](w, headRows*width+max(width, h.scratch()))
	for b := lo; b < hi; b++ {
		first := b * headRows
		rows := min(headRows, n-first)
		h.logits(buf, first, rows, buf[headRows*width:])
		for r := range rows {
			j.fold(first+r, buf[r*width:][:width], buf[headRows*width:][:width])
		}
	}
}

// fold adds the logits z of row i in the current chunk. buf must be as long as
// z.
func (j *linearLogProb[T]) fold(i int, z, buf []T) {
	h := &j.head
	if t := int(data[int32](&j.Target)[i]); h.lo <= t && t < h.hi {
		data[T](&j.LogProb)[i] = z[t-h.lo]
	}
	j.scores[i].add(z, buf, j.Entropy.Present())
}
