package rl

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// OffPolicy corrects for completions that were sampled from another distribution than the
// trained model's, because a model of another precision generated them (see
// rollout.Generator.Trained) or because of updates since then. The zero value corrects
// nothing. The importance weights are in Tokens.Importance.
type OffPolicy struct {
	// Correction multiplies the surrogate of a token by the importance weight w = π/μ. π is
	// the trained model before the first update of a step, which computes the
	// log-probabilities of the rollout once more, and μ is the distribution that the rollout
	// was sampled from. π then replaces μ as the π_old of Objective, so the importance ratio
	// of the first update is 1. "" means no correction, with π_old = μ. It is TRL's
	// vllm_importance_sampling_mode, whose default is sequence_mask.
	Correction Correction `json:"importance_sampling_mode,omitempty"`
	// Cap is the upper bound of w; 0 means 3, math.MaxFloat64 no bound: TRL's
	// vllm_importance_sampling_clip_max.
	Cap float64 `json:"importance_sampling_clip_max,omitempty"`
	// Min is the lower bound of w; 0 means no bound: TRL's vllm_importance_sampling_clip_min.
	Min float64 `json:"importance_sampling_clip_min,omitempty"`
	// MaskThreshold, in nats, masks the surrogate of tokens with a negative advantage if the
	// mean of log μ/π_θ over their completion is above it: the off-policy sequence mask of
	// DeepSeek-V3.2 (arXiv 2512.02556 eq. 9), TRL's off_policy_mask_threshold. 0 means no
	// mask.
	MaskThreshold float64 `json:"off_policy_mask_threshold,omitempty"`
}

// Correction selects whether the importance weight w of OffPolicy is computed for each token
// or for each completion, and whether a w out of bounds is truncated or masked.
type Correction string

const (
	// CorrectionTokenTruncate clamps w = π/μ of each token to the bounds.
	CorrectionTokenTruncate Correction = "token_truncate"
	// CorrectionTokenMask sets w of tokens out of bounds to 0.
	CorrectionTokenMask Correction = "token_mask"
	// CorrectionSequenceTruncate clamps w = Π_t π/μ of each completion, the weight of all of
	// its tokens, to the bounds.
	CorrectionSequenceTruncate Correction = "sequence_truncate"
	// CorrectionSequenceMask sets w of completions out of bounds to 0.
	CorrectionSequenceMask Correction = "sequence_mask"
)

func (c Correction) perCompletion() bool {
	return c == CorrectionSequenceTruncate || c == CorrectionSequenceMask
}

func (c Correction) masks() bool { return c == CorrectionTokenMask || c == CorrectionSequenceMask }

// recorded returns o as it is stored in checkpoints: the default Cap is replaced by 0.
func (o OffPolicy) recorded() OffPolicy {
	if o.Cap == defaultCap {
		o.Cap = 0
	}
	return o
}

const defaultCap = 3

// correct sets π_old and the importance weights of xs. logProbs holds their
// log-probabilities under the trained model before the first update. The ratios of the
// result are the importance weights.
func (o OffPolicy) correct(xs []trainSample, logProbs [][]float64) agreement {
	var all agreement
	for i := range xs {
		x := &xs[i]
		x.trained, x.importance = logProbs[i], make([]float64, len(logProbs[i]))
		sum := 0.0
		for t, now := range x.trained {
			all.addDifference(now, x.LogProbs[t])
			sum += now - x.LogProbs[t]
		}
		for t, now := range x.trained {
			if o.Correction.perCompletion() {
				x.importance[t] = o.importance(sum)
			} else {
				x.importance[t] = o.importance(now - x.LogProbs[t])
			}
		}
		ratios := x.importance
		if o.Correction.perCompletion() {
			ratios = ratios[:1]
		}
		for _, w := range ratios {
			all.addRatio(w)
		}
	}
	return all
}

// importance returns the weight of a token or a completion, given its log π/μ.
func (o OffPolicy) importance(log float64) float64 {
	w, most := math.Exp(min(log, maxLogRatio)), cmp.Or(o.Cap, defaultCap)
	switch {
	case !o.Correction.masks():
		return min(max(w, o.Min), most)
	case w < o.Min || w > most:
		return 0
	}
	return w
}

// weigh sets t.Importance for the tokens of xs, and returns the number of tokens that
// MaskThreshold masks. With a MaskThreshold it waits for the forward pass.
func (o OffPolicy) weigh(t *Tokens, xs []trainSample) (masked int, err error) {
	if o == (OffPolicy{}) {
		return 0, nil
	}
	var now []float64
	if o.MaskThreshold != 0 {
		if now, err = t.LogProb.Values(); err != nil {
			return 0, err
		}
	}
	var weights []float64
	for _, x := range xs {
		weights = append(weights, make([]float64, x.first())...)
		at := len(weights)
		if x.importance != nil {
			weights = append(weights, x.importance...)
		} else {
			weights = append(weights, slices.Repeat([]float64{1}, len(x.IDs))...)
		}
		if o.MaskThreshold == 0 {
			continue
		}
		sum := 0.0
		for i, drawn := range x.LogProbs {
			sum += drawn - now[at+i]
		}
		if sum/float64(len(x.IDs)) <= o.MaskThreshold {
			continue
		}
		for i, a := range x.advantages {
			if a < 0 {
				weights[at+i] = 0
				masked++
			}
		}
	}
	t.Importance = t.LogProb.Scope().Floats(t.Weight.DType(), weights, len(weights))
	return masked, nil
}

func (o OffPolicy) validate() error {
	if err := cmp.Or(
		oneOf("OffPolicy.Correction", o.Correction, CorrectionTokenTruncate, CorrectionTokenMask,
			CorrectionSequenceTruncate, CorrectionSequenceMask),
		number("OffPolicy.Cap", o.Cap, 0, math.MaxFloat64), number("OffPolicy.Min", o.Min, 0, math.MaxFloat64),
		number("OffPolicy.MaskThreshold", o.MaskThreshold, 0, math.MaxFloat64),
	); err != nil {
		return err
	}
	switch most := cmp.Or(o.Cap, defaultCap); {
	case o.Correction == "" && o.Cap != 0:
		return fmt.Errorf("OffPolicy.Cap is %g without OffPolicy.Correction: it has no effect", o.Cap)
	case o.Correction == "" && o.Min != 0:
		return fmt.Errorf("OffPolicy.Min is %g without OffPolicy.Correction: it has no effect", o.Min)
	case o.Min >= most:
		return fmt.Errorf("OffPolicy.Min is %g, want less than OffPolicy.Cap, which is %g", o.Min, most)
	case o.Correction != "" && !o.Correction.masks() && o.Cap == math.MaxFloat64 && o.Min == 0:
		return errors.New("OffPolicy.Cap and OffPolicy.Min are both unbounded: want a bound to truncate at")
	}
	return nil
}
