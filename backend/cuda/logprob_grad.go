package cuda

import "github.com/aha-go/aha/backend"

// headGrad is the state of a LinearLogProbGrad. Each element of DX and DW is
// one chain in ascending order of vocabulary or rows.
type headGrad struct {
	*backend.LinearLogProbGrad
	head
	sums backend.View // sums of a BF16 DX for the current rows
}

func (b *CUDA) linearLogProbGrad(o *backend.LinearLogProbGrad) error {
	dt, n := o.X.DType.Compute(), o.X.Shape[0]
	if _, err := b.formatted(o, o.W.Format, dt); err != nil {
		return err
	}
	s := scratch{b: b}
	defer s.free()
	g := headGrad{LinearLogProbGrad: o}
	var err error
	if g.head, err = b.head(o, &o.X, &o.W, &s); err != nil {
		return err
	}
	if o.DX.Present() && o.DX.DType == backend.BF16 {
		if g.sums, err = s.view(dt, min(n, logitRows), o.X.Shape[1]); err != nil {
			return err
		}
	}
	for lo := 0; lo < n; lo += logitRows {
		if err := b.headGradRows(&g, lo, min(lo+logitRows, n)); err != nil {
			return err
		}
	}
	return nil
}

// headGradRows computes rows [lo, hi) of DX and adds the contribution of these
// rows to DW.
func (b *CUDA) headGradRows(g *headGrad, lo, hi int) error {
	o := g.LinearLogProbGrad
	var dx, sums backend.View
	if o.DX.Present() {
		dx = o.DX.Slice(0, lo, hi)
		if sums = dx; g.sums.Present() {
			sums = g.sums.Slice(0, 0, hi-lo)
		}
	}
	for v := 0; v == 0 || v < g.vocab; v += backend.VocabChunk { // at least one chunk
		z, err := b.logits(&g.head, lo, hi, v)
		if err != nil {
			return err
		}
		if err := b.logitGrad(o, &z, lo, hi, v, g.vocab); err != nil {
			return err
		}
		if o.DX.Present() {
			w := g.w.columns(v, v+z.Shape[1])
			w.data = w.data.T()
			if err := b.product(o, &sums, &z, &w, v > 0); err != nil {
				return err
			}
		}
		if o.DW.Present() {
			dw, dz := o.DW.Slice(0, v, v+z.Shape[1]), z.T()
			x := right{format: g.w.format, data: g.x.Slice(0, lo, hi)}
			if err := b.product(o, &dw, &dz, &x, true); err != nil {
				return err
			}
		}
	}
	if g.sums.Present() {
		return b.copy(&dx, &sums)
	}
	return nil
}

// logitGrad replaces the logits z of rows [lo, hi), for the chunk that starts
// at token first, by their gradient.
func (b *CUDA) logitGrad(o *backend.LinearLogProbGrad, z *backend.View, lo, hi, first, vocab int) error {
	c := b.kernel("logprob", "logitGrad"+suffix(z.DType)).views(z)
	for _, v := range []*backend.View{&o.DLogProb, &o.DEntropy, &o.Target, &o.LSE, &o.Entropy} {
		part := *v
		if v.Present() {
			part = v.Slice(0, lo, hi)
		}
		c.views(&part)
	}
	return c.int(first).double(o.InvTemp).int(vocab).index().each(z.Len())
}
