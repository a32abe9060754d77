package rl

import (
	"math"

	"github.com/aha-go/aha/backend/tensor"
	"github.com/aha-go/aha/model"
)

// PreferenceLoss is the loss of a pair as a function of Δ, the log-ratio log(π_θ/π_ref)
// of the chosen completion minus that of the rejected one. Names and formulas are TRL's,
// and ε is LabelSmoothing.
type PreferenceLoss string

const (
	// PreferenceSigmoid is −log σ(β·Δ), DPO's own loss, and with label smoothing
	// −(1−ε)·log σ(β·Δ) − ε·log σ(−β·Δ), conservative DPO (arXiv 2305.18290). It is
	// what the empty PreferenceLoss means.
	PreferenceSigmoid PreferenceLoss = "sigmoid"
	// PreferenceRobust is (−(1−ε)·log σ(β·Δ) + ε·log σ(−β·Δ)) / (1−2ε), whose mean
	// over labels that are wrong with probability ε is that of right ones
	// (arXiv 2403.00409).
	PreferenceRobust PreferenceLoss = "robust"
	// PreferenceIPO is (Δ − 1/(2β))², with log-ratios averaged over the tokens of each
	// completion (arXiv 2310.12036).
	PreferenceIPO PreferenceLoss = "ipo"
	// PreferenceSigmoidNorm is −log σ(β·Δ) with log-ratios averaged over the tokens of
	// each completion (arXiv 2411.15124).
	PreferenceSigmoidNorm PreferenceLoss = "sigmoid_norm"
)

// averages reports whether log-ratios are averaged over tokens, not summed.
func (l PreferenceLoss) averages() bool { return l == PreferenceIPO || l == PreferenceSigmoidNorm }

// smooths reports whether the loss has label smoothing.
func (l PreferenceLoss) smooths() bool {
	return l == "" || l == PreferenceSigmoid || l == PreferenceRobust
}

// loss is the share of the pairs in the loss of the global batch, of shape [1]. logProb
// [N] are those of the rows of b, which are both(pairs).
func (d *DPO) loss(logProb tensor.Tensor, b model.Batch, pairs []comparison) tensor.Tensor {
	s, n, dt := logProb.Scope(), len(pairs), b.Weight.DType()
	var ref, scale, weight []float64
	add := func(x experience, sign float64) {
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

// scale multiplies the sum of a completion's log-ratios.
func (d *DPO) scale(x experience) float64 {
	if d.Loss.averages() {
		return 1 / float64(len(x.IDs))
	}
	return 1
}

// losses are those of pairs with the given Δ [n].
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

// labels are the weights of −log σ(β·Δ) and −log σ(−β·Δ).
func (d *DPO) labels() (right, wrong float64) {
	e := d.LabelSmoothing
	if d.Loss == PreferenceRobust {
		return (1 - e) / (1 - 2*e), -e / (1 - 2*e)
	}
	return 1 - e, e
}

// lossOf is losses on the host, of one Δ.
func (d *DPO) lossOf(delta float64) float64 {
	if d.Loss == PreferenceIPO {
		off := delta - 1/(2*d.beta())
		return off * off
	}
	right, wrong := d.labels()
	return float64(right*softplus(-d.beta()*delta)) + float64(wrong*softplus(d.beta()*delta))
}

// softplus is log(1 + eˣ), which is −log σ(−x).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
