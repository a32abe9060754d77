package cuda

import (
	"errors"

	"github.com/aha-go/aha/backend"
)

// balance is what SequenceBalance and its gradient share: how often each
// sequence chose each expert, and the sums of the tokens' scores.
type balance struct{ counts, totals backend.View }

// count queues the computation of a balance. The caller frees its memory.
func (b *CUDA) count(scores, starts *backend.View, k int) (c balance, err error) {
	n, experts := scores.Shape[0], scores.Shape[1]
	if c.counts, err = b.temp(backend.I32, max(starts.Shape[0]-1, 0), experts); err != nil {
		return c, err
	}
	if c.totals, err = b.temp(scores.DType, n); err != nil {
		b.Free(c.counts.Buf)
		return c, err
	}
	err = errors.Join(
		b.kernel("elementwise", "fill").views(&c.counts).double(0).each(c.counts.Len()),
		b.kernel("moe_balance", "balanceCount"+suffix(scores.DType)).
			views(&c.counts, &c.totals, scores, starts).int(k).index().rows(max(n, 1), experts))
	if err != nil {
		b.freeBalance(c)
	}
	return c, err
}

func (b *CUDA) freeBalance(c balance) {
	b.Free(c.counts.Buf)
	b.Free(c.totals.Buf)
}

func (b *CUDA) sequenceBalance(o *backend.SequenceBalance) error {
	c, err := b.count(&o.Scores, &o.SeqStart, o.K)
	if err != nil {
		return err
	}
	defer b.freeBalance(c)
	losses, err := b.temp(o.Scores.DType, c.counts.Shape[0])
	if err != nil {
		return err
	}
	defer b.Free(losses.Buf)
	dt := suffix(o.Scores.DType)
	return errors.Join(
		b.kernel("moe_balance", "balanceLoss"+dt).
			views(&losses, &c.counts, &c.totals, &o.Scores, &o.SeqStart).int(o.K).rows(losses.Len(), c.counts.Shape[1]),
		b.kernel("moe_balance", "balanceSum"+dt).views(&o.Loss, &losses).double(o.Coef).each(1))
}

func (b *CUDA) sequenceBalanceGrad(o *backend.SequenceBalanceGrad) error {
	c, err := b.count(&o.Scores, &o.SeqStart, o.K)
	if err != nil {
		return err
	}
	defer b.freeBalance(c)
	return b.kernel("moe_balance", "balanceGrad"+suffix(o.Scores.DType)).
		views(&o.DScores, &o.DLoss, &c.counts, &c.totals, &o.Scores, &o.SeqStart).int(o.K).double(o.Coef).
		rows(o.Scores.Shape[0], o.Scores.Shape[1])
}
