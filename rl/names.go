package rl

import (
	"cmp"
	"fmt"
)

// Names of metrics, keys of train.Metrics.Values. Packages train and reward define others.
// The package documentation has a table with the meaning of each.
const (
	MetricMeanLength           = "completions/mean_length"
	MetricMinLength            = "completions/min_length"
	MetricMaxLength            = "completions/max_length"
	MetricMeanTerminatedLength = "completions/mean_terminated_length"
	MetricMinTerminatedLength  = "completions/min_terminated_length"
	MetricMaxTerminatedLength  = "completions/max_terminated_length"
	MetricTruncated            = "completions/clipped_ratio"

	MetricReward        = "reward"
	MetricRewardStd     = "reward_std"
	MetricRewardZeroStd = "frac_reward_zero_std"

	MetricGenBatches        = "train/num_gen_batches"
	MetricDroppedGroups     = "train/dropped_groups"
	MetricLengthCorrelation = "reward_length_correlation"

	MetricRewardsChosen     = "rewards/chosen"
	MetricRewardsRejected   = "rewards/rejected"
	MetricRewardsAccuracies = "rewards/accuracies"
	MetricRewardsMargins    = "rewards/margins"
	MetricLogpsChosen       = "logps/chosen"
	MetricLogpsRejected     = "logps/rejected"

	MetricMinReward  = "min_reward"
	MetricMeanReward = "mean_reward"
	MetricMaxReward  = "max_reward"
	MetricAccuracy   = "accuracy"
	MetricMargin     = "margin"

	MetricPolicyLoss = "policy_loss"
	MetricEntropy    = "entropy"
	MetricKL         = "kl"
	MetricApproxKL   = "approx_kl"

	MetricClipLowMean    = "clip_ratio/low_mean"
	MetricClipLowMin     = "clip_ratio/low_min"
	MetricClipHighMean   = "clip_ratio/high_mean"
	MetricClipHighMax    = "clip_ratio/high_max"
	MetricClipRegionMean = "clip_ratio/region_mean"
	MetricClipDualMean   = "clip_ratio/dual_mean"
	MetricClipCISPO      = "cispo_clip_ratio"

	MetricRatioMin  = "ratio/min"
	MetricRatioMean = "ratio/mean"
	MetricRatioMax  = "ratio/max"

	MetricRouterMismatch = "moe/router_mismatch"

	MetricSamplingDifferenceMean = "sampling/sampling_logp_difference/mean"
	MetricSamplingDifferenceMax  = "sampling/sampling_logp_difference/max"
	MetricSamplingRatioMin       = "sampling/importance_sampling_ratio/min"
	MetricSamplingRatioMean      = "sampling/importance_sampling_ratio/mean"
	MetricSamplingRatioMax       = "sampling/importance_sampling_ratio/max"
	MetricOffPolicyMasked        = "sampling/off_policy_masked"

	MetricValueLoss          = "critic/vf_loss"
	MetricValueClipped       = "critic/vf_clipfrac"
	MetricValuePrediction    = "critic/vpred_mean"
	MetricExplainedVariance  = "critic/vf_explained_var"
	MetricValueMean          = "critic/values/mean"
	MetricValueMin           = "critic/values/min"
	MetricValueMax           = "critic/values/max"
	MetricReturnMean         = "critic/returns/mean"
	MetricReturnMin          = "critic/returns/min"
	MetricReturnMax          = "critic/returns/max"
	MetricAdvantageMean      = "critic/advantages/mean"
	MetricAdvantageMin       = "critic/advantages/min"
	MetricAdvantageMax       = "critic/advantages/max"
	MetricCriticGradNorm     = "critic/grad_norm"
	MetricCriticLearningRate = "critic/lr"
	MetricCriticAuxLoss      = "critic/aux_loss"
	MetricCriticSkipped      = "critic/skipped"
)

// Parts of the name of the metric avg@n of a source.
const (
	metricCore   = "val-core/"
	metricMeanAt = "mean@"
)

// metricCritic is the prefix of the metrics of a critic's experts.
const metricCritic = "critic/"

// MetricEval is the prefix of metrics of an evaluation whose names are otherwise those of
// metrics of a step.
const MetricEval = "eval_"

// MetricMeanAt returns the name of the metric avg@n of a source.
func MetricMeanAt(source string, n int) string {
	return fmt.Sprintf("%s%s%d", core(source), metricMeanAt, n)
}

// MetricBestAt returns the name of the metric pass@k of a source.
func MetricBestAt(source string, k int) string {
	return fmt.Sprintf("%sbest@%d/mean", core(source), k)
}

// MetricMajAt returns the name of the metric maj@k of a source.
func MetricMajAt(source string, k int) string {
	return fmt.Sprintf("%smaj@%d/mean", core(source), k)
}

// core returns the prefix of the names of the metrics of a source.
func core(source string) string { return metricCore + cmp.Or(source, "unknown") + "/" }
