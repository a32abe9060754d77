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

// MetricMaxVio is the name of the load violation of a layer's experts.
func MetricMaxVio(layer int) string { return "moe/" + strconv.Itoa(layer) + "/maxvio" }

// MetricLoad is the name of the load of a layer's experts, in Metrics.Loads.
func MetricLoad(layer int) string { return "moe/" + strconv.Itoa(layer) + "/load" }
