package train

import "strconv"

// The names of metrics, as keys of Metrics.Values and of a line of
// metrics.jsonl. The documentation of package rl has a table of what each
// means.
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

// MetricMaxVio is the name of the load violation of a layer's experts: those of its gate,
// which is 0 but in a layer of several.
func MetricMaxVio(layer, gate int) string { return metricOfGate(layer, gate) + "/maxvio" }

// MetricLoad is the name of the load of the same experts, in Metrics.Loads.
func MetricLoad(layer, gate int) string { return metricOfGate(layer, gate) + "/load" }

// metricOfGate is moe/<layer> for the first gate of a layer, moe/<layer>.<gate> for others.
func metricOfGate(layer, gate int) string {
	name := "moe/" + strconv.Itoa(layer)
	if gate > 0 {
		name += "." + strconv.Itoa(gate)
	}
	return name
}
