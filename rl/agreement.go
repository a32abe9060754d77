package rl

import (
	"fmt"
	"math"
)

// agreement is how log-probabilities of tokens compare with those they are drawn with.
type agreement struct {
	n          float64 // tokens
	ratios     float64 // ratios: of tokens or of completions
	ratio      summary // π_θ/π_old
	difference summary // |log π_θ − log π_old|
}

// compare counts a token with its log-probabilities under the trained model and before.
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

// mismatch is an error unless the log-probabilities were the same, bit for bit.
func (a *agreement) mismatch() error {
	if d := a.difference; !(d.max == 0) {
		return fmt.Errorf("log-probabilities of trainer and rollout differ by up to %g (mean %g)", d.max, d.sum/a.n)
	}
	return nil
}

// enterSampling adds how the log-probabilities of a rollout compare with those of the
// trained model before its first update.
func (a *agreement) enterSampling(v map[string]float64) {
	v[MetricSamplingDifferenceMean] = a.difference.sum / a.n
	v[MetricSamplingDifferenceMax] = a.difference.max
	v[MetricSamplingRatioMin] = a.ratio.min
	v[MetricSamplingRatioMean] = a.ratio.sum / a.ratios
	v[MetricSamplingRatioMax] = a.ratio.max
}
