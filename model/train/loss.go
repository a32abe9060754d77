package train

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// DefaultLoss returns −Σ w·log p(target) over the micro-batch, plus the Drafter's loss and
// BalanceAlpha times the balance loss of the MoE layers, of shape [1]. If there are such
// additional terms, the metrics have each term: lm_loss, mtp_loss, aux_loss.
func (t *Trainer) DefaultLoss(s *tensor.Scope, b model.Batch) tensor.Tensor {
	return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
		loss := tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, out.LogProbs(b.Targets))))
		t.Observe(MetricLMLoss, loss)
		return loss
	})
}

// Assemble returns the loss of a micro-batch, of shape [1]: the result of task, which gets
// the model's forward of b and returns a loss of shape [1], plus the losses of the model's
// architecture. These are the Drafter's loss, with metric mtp_loss, and BalanceAlpha times
// the balance loss of the MoE layers, including the Drafter's, with metric aux_loss. Run,
// rl.GRPO and distill.Logit all make their loss with Assemble.
func (t *Trainer) Assemble(s *tensor.Scope, b model.Batch, task func(out model.Output) tensor.Tensor) tensor.Tensor {
	out := t.Model.Forward(s, b)
	loss := task(out)
	var drafted []model.Gated
	if t.Drafter != nil {
		var ahead tensor.Tensor
		ahead, drafted = t.Drafter.Loss(s, out, b)
		s.Fail(t.knows(drafted))
		t.Observe(MetricMTPLoss, ahead)
		loss = tensor.Add(loss, ahead)
	}
	if t.BalanceAlpha != 0 {
		if balance, ok := out.BalanceLoss(b, t.BalanceAlpha, drafted...); ok {
			t.Observe(MetricAuxLoss, balance)
			loss = tensor.Add(loss, balance)
		}
	}
	return loss
}

// knows returns an error for the first gate used by the Drafter's Loss that its Gates
// method does not list: its load would not be read and its bias not updated.
func (t *Trainer) knows(drafted []model.Gated) error {
	if len(drafted) == 0 {
		return nil
	}
	gates, _ := t.Drafter.Gates()
	for i, g := range drafted {
		if !slices.Contains(gates, g.Gate) {
			return fmt.Errorf("train: Trainer.Drafter's Gates does not list gate %d of those that its Loss used", i)
		}
	}
	return nil
}

// Observe adds x, of one element, to a metric of the current step. Losses call it to report
// their terms. The values of the micro-batches are summed, as for the loss.
func (t *Trainer) Observe(name string, x tensor.Tensor) {
	x.Keep()
	t.After(func() error {
		v, err := x.Item()
		t.sums = append(t.sums, observed{name, v})
		return err
	})
}

// After registers f to be called when the backward pass of the current micro-batch is done,
// while tensors marked by Keep can still be read.
func (t *Trainer) After(f func() error) { t.after = append(t.after, f) }

// observed is the value of a metric in one micro-batch.
type observed struct {
	name  string
	value float64
}
