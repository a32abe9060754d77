package rl

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// OffPolicy corrects for completions that were drawn from another distribution than that
// of the trained model: by another precision of it, see rollout.Generator.Trained, or by
// the updates since. The zero value corrects nothing. The weights are in Tokens.Importance.
type OffPolicy struct {
	// Correction weighs the surrogate of a token by w = π/μ, with π of the trained model
	// before the first update of a step, which then scores the rollout once more, and μ of
	// the rollout. The π_old of Objective is π then, and not μ, so that the importance ratio
	// of the first update is 1. "" means none, and π_old is μ. It is TRL's
	// vllm_importance_sampling_mode, whose default there is sequence_mask.
	Correction Correction `json:"importance_sampling_mode,omitempty"`
	// Cap is the greatest w; 0 means 3, math.MaxFloat64 none: TRL's clip_max.
	Cap float64 `json:"importance_sampling_clip_max,omitempty"`
	// Min is the least w; 0 means none: TRL's clip_min.
	Min float64 `json:"importance_sampling_clip_min,omitempty"`
	// MaskThreshold leaves the surrogate of tokens with a negative advantage out where the
	// mean of log μ/π_θ over their completion is above it, in nats: the off-policy sequence
	// mask of DeepSeek-V3.2 (arXiv 2512.02556 eq. 9), TRL's off_policy_mask_threshold. 0
	// means that there is no mask.
	MaskThreshold float64 `json:"off_policy_mask_threshold,omitempty"`
}

// Correction says of what the w of OffPolicy is, a token or its completion, and what
// becomes of one beyond its bounds.
type Correction string

const (
	// CorrectionTokenTruncate bounds w = π/μ of each token.
	CorrectionTokenTruncate Correction = "token_truncate"
	// CorrectionTokenMask has 0 for w of tokens beyond the bounds.
	CorrectionTokenMask Correction = "token_mask"
	// CorrectionSequenceTruncate bounds Π_t π/μ of each completion, the w of all its tokens.
	CorrectionSequenceTruncate Correction = "sequence_truncate"
	// CorrectionSequenceMask has 0 for w of completions beyond the bounds.
	CorrectionSequenceMask Correction = "sequence_mask"
)

func (c Correction) perCompletion() bool {
	return c == CorrectionSequenceTruncate || c == CorrectionSequenceMask
}

func (c Correction) masks() bool { return c == CorrectionTokenMask || c == CorrectionSequenceMask }

// recorded is o as checkpoints have it, where a default that has a number is 0.
func (o OffPolicy) recorded() OffPolicy {
	if o.Cap == defaultCap {
		o.Cap = 0
	}
	return o
}

const defaultCap = 3

// correct sets π_old of xs, whose log-probabilities under the trained model before its
// first update are logProbs, and the weights of their surrogates. The ratios that it
// returns are these weights.
func (o OffPolicy) correct(xs []experience, logProbs [][]float64) agreement {
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

// importance is the weight of a token or a completion from its log π/μ.
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

// weigh sets the Importance of t, the tokens of xs, and counts the tokens that
// MaskThreshold leaves out. It waits for the forward pass where there is one.
func (o OffPolicy) weigh(t *Tokens, xs []experience) (masked int, err error) {
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
		return fmt.Errorf("OffPolicy.Cap is %g without OffPolicy.Correction: it bounds nothing", o.Cap)
	case o.Correction == "" && o.Min != 0:
		return fmt.Errorf("OffPolicy.Min is %g without OffPolicy.Correction: it bounds nothing", o.Min)
	case o.Min >= most:
		return fmt.Errorf("OffPolicy.Min is %g, want less than OffPolicy.Cap, which is %g", o.Min, most)
	case o.Correction != "" && !o.Correction.masks() && o.Cap == math.MaxFloat64 && o.Min == 0:
		return errors.New("OffPolicy.Cap and OffPolicy.Min bound nothing: want a bound to truncate at")
	}
	return nil
}
