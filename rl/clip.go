package rl

import "math"

// clipStats counts the clipped importance ratios, as TRL does: one ratio for each token
// at LevelToken and LevelSequenceToken, otherwise one for each completion.
type clipStats struct {
	units     float64 // number of tokens or completions
	low, high float64 // units below the bound with A < 0, and above it with A > 0
	dual      float64 // units that Objective.DualClip clips
	lowMin    float64 // least share of tokens clipped low in a completion
	highMax   float64 // greatest share of tokens clipped high in a completion
}

// add counts a completion.
func (c *clipStats) add(o Objective, ratios, advantages []float64) {
	lo, hi := o.bounds()
	var low, high, dual float64
	for i, ratio := range ratios {
		switch a := advantages[i]; {
		case ratio < lo && a < 0:
			low++
		case ratio > hi && a > 0:
			high++
		case o.DualClip != 0 && ratio > o.DualClip && a < 0:
			dual++
		}
	}
	n := float64(len(ratios))
	if c.units == 0 {
		c.lowMin, c.highMax = low/n, high/n
	}
	c.lowMin, c.highMax = min(c.lowMin, low/n), max(c.highMax, high/n)
	if o.perCompletion() {
		low, high, dual, n = low/n, high/n, dual/n, 1
	}
	c.units += n
	c.low += low
	c.high += high
	c.dual += dual
}

// enter adds the metrics of an update to the metrics of its step. share is the weight of
// the update in means.
func (c clipStats) enter(v map[string]float64, o Objective, first bool, share float64) {
	low, high := c.low/c.units, c.high/c.units
	switch o.Surrogate {
	case SurrogateClip, "":
	case SurrogateCISPO:
		v[MetricClipCISPO] += high * share
		return
	default:
		return
	}
	if first {
		v[MetricClipLowMin], v[MetricClipHighMax] = c.lowMin, c.highMax
	}
	v[MetricClipLowMin] = min(v[MetricClipLowMin], c.lowMin)
	v[MetricClipHighMax] = max(v[MetricClipHighMax], c.highMax)
	v[MetricClipLowMean] += low * share
	v[MetricClipHighMean] += high * share
	v[MetricClipRegionMean] += (low + high) * share
	if o.DualClip != 0 {
		v[MetricClipDualMean] += c.dual / c.units * share
	}
}

// perCompletion reports whether all tokens of a completion have one ratio.
func (o Objective) perCompletion() bool {
	return o.Level == LevelSequence || o.Level == LevelTrajectory
}

// ratiosOf computes Objective.ratio on the host, for the tokens of a completion.
func (o Objective) ratiosOf(logProb, old []float64) []float64 {
	logs, sum := make([]float64, len(old)), 0.0
	for i := range logs {
		logs[i] = logProb[i] - old[i]
		sum += logs[i]
	}
	for i := range logs {
		switch o.Level {
		case LevelSequence, LevelSequenceToken:
			logs[i] = sum / float64(len(logs))
		case LevelTrajectory:
			logs[i] = sum
		}
		logs[i] = math.Exp(boundLogRatio(logs[i]))
	}
	return logs
}
