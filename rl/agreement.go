package rl

import (
	"fmt"
	"math"
)

// agreement compares the log-probabilities of tokens under the trained model with
// those that were recorded while sampling.
type agreement struct {
	n          float64 // number of tokens
	ratios     float64 // number of ratios, of tokens or of completions
	ratio      summary // π_θ/π_old
	difference summary // |log π_θ − log π_old|
}

// compare adds a token with its log-probability under the trained model, and the old
// one, that of the rollout.
func (a *agreement) compare(logProb, old float64) {
	a.addDifference(logProb, old)
	a.addRatio(math.Exp(boundLogRatio(logProb - old)))
}

func (a *agreement) addDifference(logProb, old float64) {
	a.difference.add(math.Abs(logProb-old), a.n == 0)
	a.n++
}

func (a *agreement) addRatio(v float64) {
	a.ratio.add(v, a.ratios == 0)
	a.ratios++
}

// mismatch returns an error unless all log-probabilities were equal bit for bit.
func (a *agreement) mismatch() error {
	if d := a.difference; !(d.max == 0) {
		return fmt.Errorf("log-probabilities of trainer and rollout differ by up to %g (mean %g)", d.max, d.sum/a.n)
	}
	return nil
}

// enterSampling adds the sampling/… metrics, which compare the log-probabilities of a
// rollout with those of the trained model before its first update.
func (a *agreement) enterSampling(v map[string]float64) {
	v[MetricSamplingDifferenceMean] = a.difference.sum / a.n
	v[MetricSamplingDifferenceMax] = a.difference.max
	v[MetricSamplingRatioMin] = a.ratio.min
	v[MetricSamplingRatioMean] = a.ratio.sum / a.ratios
	v[MetricSamplingRatioMax] = a.ratio.max
}
