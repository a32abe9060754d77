package moe

import "github.com/aha-go/aha/backend/tensor"

// Load returns the number of tokens assigned to each expert in training since the last
// ResetLoad.
func (g *Gate) Load() ([]int, error) { return g.load.Values() }

// ResetLoad sets the counters to zero.
func (g *Gate) ResetLoad() error { return g.load.Reset() }

// UpdateBias moves the selection bias by the sign rule, once per optimizer step, from the
// loads of the whole global batch (DeepSeek-V3 §2.1.2):
//
//	b_i ← b_i + gamma·sign(c̄ − c_i)
//
// If centered, the mean of the signs is subtracted, which keeps Σb constant and selects the
// same experts (Moonlight, appendix C). A gate without a bias or with frozen router weights
// is left unchanged, and so is the bias if all loads are 0.
func (g *Gate) UpdateBias(load []int, gamma float64, centered bool) error {
	if g.Bias == nil || !g.W.W.Trainable {
		return nil
	}
	total := 0
	for _, c := range load {
		total += c
	}
	if gamma == 0 {
		return nil
	}
	bias, err := g.Bias.Floats()
	if err != nil {
		return err
	}
	sign := make([]float64, len(load))
	mean := 0.0
	for i, c := range load {
		switch d := total - c*len(load); {
		case d > 0:
			sign[i] = 1
		case d < 0:
			sign[i] = -1
		}
		mean += sign[i] / float64(len(load))
	}
	for i := range bias {
		if centered {
			sign[i] -= mean
		}
		bias[i] += gamma * sign[i]
	}
	return g.Bias.SetFloats(bias)
}

// MaxVio is the balance metric max_i c_i/c̄ − 1 of Wang et al. 2024 (arXiv 2408.15664): 0
// is perfect balance. It is 0 if all loads are 0.
func MaxVio(load []int) float64 {
	total, most := 0, 0
	for _, c := range load {
		total += c
		most = max(most, c)
	}
	if total == 0 {
		return 0
	}
	return float64(most*len(load))/float64(total) - 1
}

// BalanceLoss is the sequence-wise balance loss of one layer (DeepSeek-V3 eq. 17–20), of
// shape [1], over the sequences bounded by seqStart [S+1] I32. sequences is the number of
// sequences in the global batch, by which alpha is divided.
func (g *Gate) BalanceLoss(scores, seqStart tensor.Tensor, alpha float64, sequences int) tensor.Tensor {
	return tensor.SequenceBalance(scores, seqStart, g.cfg.TopK, alpha/float64(sequences))
}
