package train

import (
	"fmt"
	"slices"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// DefaultLoss is −Σ w·log p(target) over the micro-batch, plus the Drafter's
// loss and BalanceAlpha times the balance loss of the MoE layers, of shape [1].
// With those terms the metrics have each: lm_loss, mtp_loss, aux_loss.
func (t *Trainer) DefaultLoss(s *tensor.Scope, b model.Batch) tensor.Tensor {
	return t.Assemble(s, b, func(out model.Output) tensor.Tensor {
		loss := tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, out.LogProbs(b.Targets))))
		t.Observe(MetricLMLoss, loss)
		return loss
	})
}

// Assemble is the loss of a micro-batch, of shape [1]: what task makes, of shape
// [1] too, of the model's forward of b, and the losses of the model's
// architecture: the Drafter's, observed as mtp_loss, and BalanceAlpha times the
// balance loss of the MoE layers, the Drafter's included, observed as aux_loss.
// Every loss is put together by it: that of Run, of rl.GRPO and of distill.Logit.
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

// knows reports the first gate of the Drafter that its Gates does not list: nobody would
// move that gate's bias or read its load.
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

// Observe adds x, of one element, to a metric of the running step: a loss calls
// it to show a term, whose values for the micro-batches are summed as those of
// the loss are.
func (t *Trainer) Observe(name string, x tensor.Tensor) {
	x.Keep()
	t.After(func() error {
		v, err := x.Item()
		t.sums = append(t.sums, observed{name, v})
		return err
	})
}

// After has f called once the running micro-batch's backward pass is done, while
// tensors marked by Keep can still be read.
func (t *Trainer) After(f func() error) { t.after = append(t.after, f) }

// observed is one value of a metric, from one micro-batch.
type observed struct {
	name  string
	value float64
}
