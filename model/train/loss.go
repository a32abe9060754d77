package train

import (
	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// DefaultLoss is −Σ w·log p(target) over the micro-batch, plus the Drafter's
// loss and BalanceAlpha times the balance loss of the MoE layers, of shape [1].
// With those terms the metrics have each: lm_loss, mtp_loss, aux_loss.
func (t *Trainer) DefaultLoss(s *tensor.Scope, b model.Batch) tensor.Tensor {
	out := t.Model.Forward(s, b)
	loss := tensor.Neg(tensor.Sum(tensor.Mul(b.Weight, out.LogProbs(b.Targets))))
	t.Observe(MetricLMLoss, loss)
	if t.Drafter != nil {
		ahead := t.Drafter.Loss(s, out, b)
		t.Observe(MetricMTPLoss, ahead)
		loss = tensor.Add(loss, ahead)
	}
	if t.BalanceAlpha != 0 {
		if balance, ok := out.BalanceLoss(b, t.BalanceAlpha); ok {
			t.Observe(MetricAuxLoss, balance)
			loss = tensor.Add(loss, balance)
		}
	}
	return loss
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
