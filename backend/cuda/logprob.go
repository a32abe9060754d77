package cuda

import "github.com/aha-go/aha/backend"

// logitRows is the number of rows whose logits for a chunk of the vocabulary
// are in memory at a time: 16 MiB of F32. It is a multiple of 16, the number of
// rows whose products BFloat16 sums at a time, so that weight gradients do not
// depend on it.
const logitRows = 1024

// head computes logits for some rows and one chunk of the vocabulary at a time.
type head struct {
	op     backend.Op
	x      backend.View
	w      right
	vocab  int
	memory backend.View // memory of the logits
}

// head starts an op with the output head w, which it encodes in memory of s if
// need be.
func (b *CUDA) head(op backend.Op, x *backend.View, w *backend.Matrix, s *scratch) (h head, err error) {
	h = head{op: op, x: *x}
	_, h.vocab = w.Dims()
	if h.w, err = b.right(op, w, s); err != nil {
		return h, err
	}
	h.memory, err = s.view(x.DType.Compute(), min(x.Shape[0], logitRows), min(h.vocab, backend.VocabChunk))
	return h, err
}

// logits queues x·w for rows [lo, hi) and the chunk that starts at column
// first.
func (b *CUDA) logits(h *head, lo, hi, first int) (z backend.View, err error) {
	end := min(first+backend.VocabChunk, h.vocab)
	z = h.memory.Slice(0, 0, hi-lo).Slice(1, 0, end-first)
	x, w := h.x.Slice(0, lo, hi), h.w.columns(first, end)
	return z, b.product(h.op, &z, &x, &w, false)
}

func (b *CUDA) linearLogProb(o *backend.LinearLogProb) error {
	dt, n := o.X.DType.Compute(), o.X.Shape[0]
	if _, err := b.formatted(o, o.W.Format, dt); err != nil {
		return err
	}
	s := scratch{b: b}
	defer s.free()
	h, err := b.head(o, &o.X, &o.W, &s)
	if err != nil {
		return err
	}
	state, err := s.view(dt, n, 3)
	if err != nil {
		return err
	}
	for lo := 0; lo < n; lo += logitRows {
		hi := min(lo+logitRows, n)
		state, logProb, target := state.Slice(0, lo, hi), o.LogProb.Slice(0, lo, hi), o.Target.Slice(0, lo, hi)
		for v := 0; v == 0 || v < h.vocab; v += backend.VocabChunk { // at least one chunk
			z, err := b.logits(&h, lo, hi, v)
			if err != nil {
				return err
			}
			err = b.kernel("logprob", "scoreLogits"+suffix(dt)).views(&state, &logProb, &z, &target).
				int(v).double(o.InvTemp).flag(o.Entropy.Present()).int(h.vocab).index().rows(hi-lo, h.vocab)
			if err != nil {
				return err
			}
		}
	}
	return b.kernel("logprob", "scoreRows"+suffix(dt)).views(&o.LogProb, &o.LSE, &o.Entropy, &state, &o.Target).each(n)
}
