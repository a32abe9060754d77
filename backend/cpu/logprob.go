package cpu

import (
	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu/internal/asm"
)

// headRows is the number of rows whose logits one thread computes at a time;
// with backend.VocabChunk columns they stay in the second-level cache.
const headRows = 48

// head computes the logits of a chunk of the vocabulary: z = InvTemp·X·Wᵀ, with
// the bits of MatMul.
type head[T number] struct {
	x, w     operand[T]
	d, vocab int
	invTemp  T
	lo, hi   int        // the chunk
	pack     packing[T] // of W[lo:hi]ᵀ
}

func (h *head[T]) open(x, w *backend.View, invTemp float64) {
	h.x, h.w, h.d, h.vocab, h.invTemp = operandOf[T](x), operandOf[T](w), x.Shape[1], w.Shape[0], T(invTemp)
}

// scratch is the length of the buffer that logits needs.
func (h *head[T]) scratch() int { return tileSize(h.x, operand[T]{cs: 1}) }

// load packs the chunk that begins at lo.
func (h *head[T]) load(p *pool, lo int) {
	h.lo, h.hi = lo, min(lo+backend.VocabChunk, h.vocab)
	packRange(p, &h.pack, h.w.rows(lo).transposed(), h.d, h.hi-lo)
}

// logits computes n rows of the chunk from row i on into z, densely. buf has
// h.scratch elements.
func (h *head[T]) logits(z []T, i, n int, buf []T) {
	width := h.hi - h.lo
	z = z[:n*width]
	c := operand[T]{data: z, rs: width, cs: 1}
	product(n, width, h.d, h.x.rows(i), h.pack.dst, h.d*asm.PanelWidth, c, false, buf)
	scale(z, z, h.invTemp)
}

// packRange packs the [k, n] matrix at the start of src into pack's own memory.
func packRange[T number](p *pool, pack *packing[T], src operand[T], k, n int) {
	*pack = packing[T]{dst: pack.dst, src: src, k: k, n: n}
	pack.dst = grow(pack.dst, pack.size())
	if k > 0 {
		p.run(ceil(n, asm.PanelWidth), packGrain(k), pack)
	}
}

// linearLogProb is a job over blocks of headRows rows that runs once a chunk.
type linearLogProb[T number] struct {
	*backend.LinearLogProb
	head   head[T]
	scores []vocabScore[T] // of each row, over the chunks so far
}

func (j *linearLogProb[T]) do(p *pool, o *backend.LinearLogProb) {
	j.LinearLogProb = o
	n := o.X.Shape[0]
	logProb, lse, target := data[T](&o.LogProb), data[T](&o.LSE), data[int32](&o.Target)
	j.head.open(&o.X, &o.W, o.InvTemp)
	j.scores = grow(j.scores, n)
	for i := range j.scores {
		if target[i] >= 0 {
			row("LinearLogProb", "target", target[i], j.head.vocab)
		}
		j.scores[i] = noScore[T]()
	}
	for v := 0; v < j.head.vocab; v += backend.VocabChunk {
		j.head.load(p, v)
		p.run(ceil(n, headRows), 1, j)
	}
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
	j.LinearLogProb = nil
}

func (j *linearLogProb[T]) run(w *worker, lo, hi int) {
	h, n := &j.head, j.X.Shape[0]
	logProb, target := data[T](&j.LogProb), data[int32](&j.Target)
	width := h.hi - h.lo
	buf := scratch[T](w, headRows*width+max(width, h.scratch()))
	for b := lo; b < hi; b++ {
		first := b * headRows
		rows := min(headRows, n-first)
		h.logits(buf, first, rows, buf[headRows*width:])
		for r := range rows {
			z := buf[r*width:][:width]
			if t := int(target[first+r]); h.lo <= t && t < h.hi {
				logProb[first+r] = z[t-h.lo]
			}
			j.scores[first+r].add(z, buf[headRows*width:][:width], j.Entropy.Present())
		}
	}
}
