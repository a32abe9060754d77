package rl

import (
	"cmp"
	"errors"
	"fmt"
	"math"
)

// fits reports fields for advantages that cannot be combined.
func (g *GRPO) fits() error {
	apart := g.Aggregation == NormalizeThenSum
	switch {
	case g.Shuffle && g.Process != nil:
		return errors.New("Shuffle is set with Process, whose rewards it does not permute: the model would learn from them")
	case g.SkipZeroStd && g.RewardKL != 0:
		return errors.New("SkipZeroStd is set with RewardKL: the divergence gives all groups a spread")
	case g.RewardKL != 0 && g.Objective.Beta != 0:
		return errors.New("RewardKL is set with Objective.Beta: the divergence is either in the reward or in the loss")
	case g.Estimator.whitens() && g.Scaling != "":
		return fmt.Errorf("Scaling is %s, which Estimator %s does not use", g.Scaling, g.Estimator)
	case g.Estimator.whitens() && g.StdEps != 0:
		return fmt.Errorf("StdEps is %g, which Estimator %s does not use", g.StdEps, g.Estimator)
	case g.Estimator == EstimatorRLOO && g.Scaling == ScaleGroup:
		return errors.New("Scaling is group, which Estimator rloo does not use")
	case g.Estimator == EstimatorRLOO && g.Scaling != ScaleBatch && g.StdEps != 0:
		return fmt.Errorf("StdEps is %g, which Estimator rloo does not use without Scaling batch", g.StdEps)
	case apart && g.Estimator != "" && g.Estimator != EstimatorGRPO:
		return fmt.Errorf("Aggregation is normalize_then_sum, which Estimator %s does not use", g.Estimator)
	case apart && g.Scaling != "" && g.Scaling != ScaleGroup:
		return fmt.Errorf("Scaling is %s, which Aggregation normalize_then_sum does not use", g.Scaling)
	case apart && g.RewardKL != 0:
		return errors.New("RewardKL is set, which Aggregation normalize_then_sum does not use")
	}
	return nil
}

func (o Objective) validate() error {
	if err := cmp.Or(
		o.Surrogate.validate(), o.Level.validate(), o.Divergence.validate(),
		number("Objective.EpsilonLow", o.EpsilonLow, 0, 1),
		number("Objective.EpsilonHigh", o.EpsilonHigh, 0, math.MaxFloat64),
		number("Objective.DualClip", o.DualClip, 0, math.MaxFloat64),
		number("Objective.TauPositive", o.TauPositive, 0, math.MaxFloat64),
		number("Objective.TauNegative", o.TauNegative, 0, math.MaxFloat64),
		number("Objective.MirrorTau", o.MirrorTau, 0, math.MaxFloat64),
		number("Objective.Beta", o.Beta, 0, math.MaxFloat64),
		number("Objective.EntropyCoef", o.EntropyCoef, -math.MaxFloat64, math.MaxFloat64),
	); err != nil {
		return err
	}
	return o.fits()
}

// fits reports fields that cannot be combined.
func (o Objective) fits() error {
	o = o.recorded()
	_, hi := o.bounds()
	set := func(name string, v float64) error {
		if v == 0 {
			return nil
		}
		return fmt.Errorf("Objective.%s is %g, which Surrogate %s does not use", name, v,
			cmp.Or(o.Surrogate, SurrogateClip))
	}
	var err error
	switch o.Surrogate {
	case "":
		if o.DualClip != 0 && o.DualClip <= hi {
			err = fmt.Errorf("Objective.DualClip is %g, want more than 1+EpsilonHigh, which is %g", o.DualClip, hi)
		}
	case SurrogateCISPO:
		err = set("DualClip", o.DualClip)
	default:
		err = cmp.Or(set("DualClip", o.DualClip), set("EpsilonLow", o.EpsilonLow), set("EpsilonHigh", o.EpsilonHigh))
	}
	if o.Surrogate != SurrogateSAPO {
		err = cmp.Or(err, set("TauPositive", o.TauPositive), set("TauNegative", o.TauNegative))
	}
	if o.Surrogate != SurrogateMirrorDescent {
		err = cmp.Or(err, set("MirrorTau", o.MirrorTau))
	} else if o.MirrorTau == 0 {
		err = errors.New("Objective.MirrorTau is 0, but Surrogate mirror_descent requires it")
	}
	if err != nil {
		return err
	}
	ratio := o.Surrogate != SurrogateReinforce && o.Surrogate != SurrogateMirrorDescent ||
		o.Divergence == DivergenceK3Unbiased
	kimi := o.Surrogate == SurrogateMirrorDescent && o.Level == LevelSequence
	switch {
	case o.Level != "" && !ratio && !kimi:
		return fmt.Errorf("Objective.Level is %s, which Surrogate %s does not use", o.Level, o.Surrogate)
	case o.Divergence != "" && o.Beta == 0:
		return fmt.Errorf("Objective.Divergence is %s, but Objective.Beta is 0: it has no effect", o.Divergence)
	}
	return nil
}

func (s Surrogate) validate() error {
	return oneOf("Objective.Surrogate", s, SurrogateClip, SurrogateCISPO, SurrogateSAPO, SurrogateReinforce,
		SurrogateMirrorDescent)
}

func (l Level) validate() error {
	return oneOf("Objective.Level", l, LevelToken, LevelSequence, LevelSequenceToken, LevelTrajectory)
}

func (d Divergence) validate() error {
	return oneOf("Objective.Divergence", d, DivergenceK1, DivergenceK2, DivergenceK3, DivergenceK3Unbiased)
}
