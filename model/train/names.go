package train

import "strconv"

// Names of metrics, which are keys of Metrics.Values and of the lines of metrics.jsonl. The
// documentation of package rl has a table of their meanings.
const (
	MetricStep         = "step"      // Metrics.Step
	MetricStepTime     = "step_time" // Metrics.Time, in seconds
	MetricLoss         = "loss"
	MetricGradNorm     = "grad_norm"
	MetricLearningRate = "learning_rate"
	MetricNumTokens    = "num_tokens"
	MetricLMLoss       = "lm_loss"
	MetricMTPLoss      = "mtp_loss"
	MetricAuxLoss      = "aux_loss"
	MetricSkipped      = "skipped"
)

// MetricMaxVio returns the name of the metric for the load violation of a gate's experts.
// gate is 0 unless the layer has several gates.
func MetricMaxVio(layer, gate int) string { return metricOfGate(layer, gate) + "/maxvio" }

// MetricLoad returns the name of the load of these experts in Metrics.Loads.
func MetricLoad(layer, gate int) string { return metricOfGate(layer, gate) + "/load" }

// metricOfGate returns moe/<layer> for the first gate of a layer, and moe/<layer>.<gate>
// for others.
func metricOfGate(layer, gate int) string {
	name := "moe/" + strconv.Itoa(layer)
	if gate > 0 {
		name += "." + strconv.Itoa(gate)
	}
	return name
}
