package rl

import (
	"math"
	"strings"

	"github.com/aha-go/aha/model/train"
)

// criticUpdate is one update of the critic.
type criticUpdate struct {
	train.Metrics // empty unless the critic is a separate network
	valueStats
}

// valueStats accumulates the metrics of the values of one update, on the host and in the
// order of the tokens.
type valueStats struct {
	loss, clipped, sum, n float64
}

// add adds the values of the rows of xs. tokens is the number of completion tokens of the
// update.
func (v *valueStats) add(xs []trainSample, values []float64, clip, tokens float64) {
	for _, x := range xs {
		for i, old := range x.values {
			value := values[x.first()+i]
			bounded := old + min(max(value-old, -clip), clip)
			plain, other := value-x.returns[i], bounded-x.returns[i]
			plain, other = plain*plain, other*other
			v.n++
			v.sum += value
			v.loss += max(plain, other) / (2 * tokens)
			if other > plain {
				v.clipped++
			}
		}
		values = values[x.seq.Rows():]
	}
}

// enterCritic adds the metrics of the critic to the metrics of a step: those of its
// updates, and those of the values, returns and advantages before the updates.
func (r *Rollout) enterCritic(m train.Metrics, all []criticUpdate) {
	v := m.Values
	var advantages, returns, values, errors [][]float64
	for i := range r.Samples {
		if !r.InLoss[i] {
			continue
		}
		advantages = append(advantages, r.Advantages.Token[i])
		returns, values = append(returns, r.Returns[i]), append(values, r.Values[i])
		off := make([]float64, len(r.Values[i]))
		for t, value := range r.Values[i] {
			off[t] = r.Returns[i][t] - value
		}
		errors = append(errors, off)
	}
	if len(values) > 0 {
		v[MetricAdvantageMean], v[MetricAdvantageMin], v[MetricAdvantageMax] = extent(advantages)
		v[MetricReturnMean], v[MetricReturnMin], v[MetricReturnMax] = extent(returns)
		v[MetricValueMean], v[MetricValueMin], v[MetricValueMax] = extent(values)
		v[MetricExplainedVariance] = explainedVariance(errors, returns)
	}
	share := 1 / float64(len(all))
	for _, u := range all {
		v[MetricValueLoss] += u.loss * share
		v[MetricValueClipped] += u.clipped / u.n * share
		v[MetricValuePrediction] += u.sum / u.n * share
		for name, x := range u.Values {
			switch {
			case name == train.MetricLearningRate:
				v[MetricCriticLearningRate] = x
			case name == train.MetricGradNorm:
				v[MetricCriticGradNorm] += x * share
			case name == train.MetricSkipped:
				v[MetricCriticSkipped] += x * share
			case name == train.MetricAuxLoss:
				v[MetricCriticAuxLoss] += x * share
			case strings.HasPrefix(name, "moe/"):
				v[metricCritic+name] += x * share
			}
		}
		for name, load := range u.Loads {
			addLoad(m.Loads, metricCritic+name, load)
		}
	}
}

// extent returns the mean, the minimum and the maximum of the values of tokens.
func extent(tokens [][]float64) (mean, least, most float64) {
	_, mean, _ = moments(tokens)
	least, most = math.Inf(1), math.Inf(-1)
	for _, completion := range tokens {
		for _, v := range completion {
			least, most = min(least, v), max(most, v)
		}
	}
	return mean, least, most
}

// explainedVariance returns 1 − Var(R − V)/(Var(R) + 1e-5), as verl computes it. errors
// holds R − V.
func explainedVariance(errors, returns [][]float64) float64 {
	n, _, unexplained := moments(errors)
	_, _, all := moments(returns)
	unbiased := n / max(n-1, 1)
	return 1 - unexplained*unbiased/(all*unbiased+1e-5)
}
