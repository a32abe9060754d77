package cpu

import "github.com/aha-go/aha/backend"

const (
	gradRows  = 256 // rows whose dz is held at a time: 4 MiB with backend.VocabChunk columns
	gradBlock = 24  // rows, or entries of the vocabulary, that one thread takes at a time
)

// linearLogProbGrad takes the vocabulary in chunks and the rows in runs of
// gradRows. For each pair it is a job over blocks of rows, which computes dz
// and adds to DX; headWeightGrad then adds to DW. Each element of DX and DW is
// one chain over ascending v or i, so no bit depends on the sizes above.
type linearLogProbGrad[T number] struct {
	*backend.LinearLogProbGrad
	head        head[T]
	packW       packing[T] // of W[chunk]
	packX       packing[T] // of X[first:first+rows]
	first, rows int
	dz          []T // [rows, chunk], times InvTemp
}

func (j *linearLogProbGrad[T]) do(p *pool, o *backend.LinearLogProbGrad) {
	j.LinearLogProbGrad = o
	h, n := &j.head, o.X.Shape[0]
	h.open(&o.X, &o.W, o.InvTemp)
	for _, t := range data[int32](&o.Target)[:n] {
		if t >= 0 {
			row("LinearLogProbGrad", "target", t, h.vocab)
		}
	}
	if o.DX.Present() {
		for i := range n {
			clear(data[T](&o.DX)[i*o.DX.Strides[0]:][:h.d])
		}
	}
	for v := 0; v < h.vocab; v += backend.VocabChunk {
		h.load(p, v)
		width := h.hi - h.lo
		if o.DX.Present() {
			packRange(p, &j.packW, h.w.rows(v), width, h.d)
		}
		for j.first = 0; j.first < n; j.first += gradRows {
			j.rows = min(gradRows, n-j.first)
			j.dz = grow(j.dz, j.rows*width)
			p.run(ceil(j.rows, gradBlock), 1, j)
			if o.DW.Present() {
				packRange(p, &j.packX, h.x.rows(j.first), j.rows, h.d)
				p.run(ceil(width, gradBlock), 1, (*headWeightGrad[T])(j))
			}
		}
	}
	j.LinearLogProbGrad = nil
}

func (j *linearLogProbGrad[T]) run(w *worker, lo, hi int) {
	h := &j.head
	width := h.hi - h.lo
	p := scratch[T](w, width)
	for b := lo; b < hi; b++ {
		from := b * gradBlock
		n := min(gradBlock, j.rows-from)
		dz := j.dz[from*width:][:n*width]
		h.logits(dz, j.first+from, n)
		for r := range n {
			j.logitGrad(dz[r*width:][:width], p, j.first+from+r)
		}
		if j.DX.Present() {
			dx := data[T](&j.DX)[(j.first+from)*j.DX.Strides[0]:]
			gemmPacked(n, h.d, width, dz, width, 1, j.packW.dst, dx, j.DX.Strides[0], true)
		}
	}
}

// logitGrad turns row i's logits z of the chunk into InvTemp·dz.
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

// headWeightGrad is a job over blocks of the chunk: DW += dzᵀ·X.
type headWeightGrad[T number] linearLogProbGrad[T]

func (j *headWeightGrad[T]) run(_ *worker, lo, hi int) {
	h := &j.head
	width := h.hi - h.lo
	from, to := lo*gradBlock, min(hi*gradBlock, width)
	dw := data[T](&j.DW)[(h.lo+from)*j.DW.Strides[0]:]
	gemmPacked(to-from, h.d, j.rows, j.dz[from:], 1, width, j.packX.dst, dw, j.DW.Strides[0], true)
}
