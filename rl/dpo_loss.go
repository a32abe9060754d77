package rl

import (
	"math"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// PreferenceLoss selects the loss of a pair as a function of Δ, the log-ratio
// log(π_θ/π_ref) of the chosen completion minus that of the rejected one. Names and
// formulas are TRL's; ε is LabelSmoothing.
type PreferenceLoss string

const (
	// PreferenceSigmoid is −log σ(β·Δ), the loss of the DPO paper, and with label
	// smoothing −(1−ε)·log σ(β·Δ) − ε·log σ(−β·Δ), conservative DPO (arXiv 2305.18290).
	// It is the default.
	PreferenceSigmoid PreferenceLoss = "sigmoid"
	// PreferenceRobust is (−(1−ε)·log σ(β·Δ) + ε·log σ(−β·Δ)) / (1−2ε). If labels are
	// swapped with probability ε, its expectation is the loss on the true labels
	// (arXiv 2403.00409).
	PreferenceRobust PreferenceLoss = "robust"
	// PreferenceIPO is (Δ − 1/(2β))², with log-ratios averaged over the tokens of each
	// completion (arXiv 2310.12036).
	PreferenceIPO PreferenceLoss = "ipo"
	// PreferenceSigmoidNorm is −log σ(β·Δ) with log-ratios averaged over the tokens of
	// each completion (arXiv 2411.15124).
	PreferenceSigmoidNorm PreferenceLoss = "sigmoid_norm"
)

// averages reports whether log-ratios are averaged over tokens instead of summed.
func (l PreferenceLoss) averages() bool { return l == PreferenceIPO || l == PreferenceSigmoidNorm }

// smooths reports whether the loss uses LabelSmoothing.
func (l PreferenceLoss) smooths() bool {
	return l == "" || l == PreferenceSigmoid || l == PreferenceRobust
}

// loss returns the contribution of the pairs to the loss of the global batch, of shape
// [1]. logProb [N] holds the log-probabilities of the rows of b, the batch of both(pairs).
func (d *DPO) loss(logProb tensor.Tensor, b model.Batch, pairs []comparison) tensor.Tensor {
	s, n, dt := logProb.Scope(), len(pairs), b.Weight.DType()
	var ref, scale, weight []float64
	add := func(x trainSample, sign float64) {
		ref = append(append(ref, make([]float64, x.first())...), x.ref...)
		scale = append(scale, sign*d.scale(x))
	}
	for _, c := range pairs {
		add(c.chosen, 1)
		add(c.rejected, -1)
		weight = append(weight, c.weight)
	}
	ratio := tensor.Sub(logProb, s.Floats(dt, ref, len(ref))) // [N]; 0 in prompts
	ratio = tensor.SegmentSum(ratio, b.SeqStart)              // [2n]
	delta := tensor.SumLast(tensor.Mul(ratio, s.Floats(dt, scale, 2*n)).Reshape(n, 2))
	return tensor.Sum(tensor.Mul(s.Floats(dt, weight, n), d.losses(delta.Reshape(n))))
}

// scale returns the factor of the sum of a completion's log-ratios.
func (d *DPO) scale(x trainSample) float64 {
	if d.Loss.averages() {
		return 1 / float64(len(x.IDs))
	}
	return 1
}

// losses returns the losses [n] of pairs with the given Δ [n].
func (d *DPO) losses(delta tensor.Tensor) tensor.Tensor {
	if d.Loss == PreferenceIPO {
		off := tensor.Affine(delta, 1, -1/(2*d.beta()))
		return tensor.Mul(off, off)
	}
	right, wrong := d.labels()
	loss := tensor.Scale(tensor.LogSigmoid(tensor.Scale(delta, d.beta())), -right)
	if wrong != 0 {
		loss = tensor.Sub(loss, tensor.Scale(tensor.LogSigmoid(tensor.Scale(delta, -d.beta())), wrong))
	}
	return loss
}

// labels returns the weights of −log σ(β·Δ) and −log σ(−β·Δ).
func (d *DPO) labels() (right, wrong float64) {
	e := d.LabelSmoothing
	if d.Loss == PreferenceRobust {
		return (1 - e) / (1 - 2*e), -e / (1 - 2*e)
	}
	return 1 - e, e
}

// lossOf computes losses on the host, for one Δ.
func (d *DPO) lossOf(delta float64) float64 {
	if d.Loss == PreferenceIPO {
		off := delta - 1/(2*d.beta())
		return off * off
	}
	right, wrong := d.labels()
	return float64(right*softplus(-d.beta()*delta)) + float64(wrong*softplus(d.beta()*delta))
}

// softplus returns log(1 + eˣ), which is −log σ(−x).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
