package rl

import (
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/rollout"
)

// lengthMetrics returns TRL's completions/… metrics of samples: the lengths in tokens of all
// completions, the lengths of those that ended with a stop token (0 if none did), and the
// share of truncated ones.
func lengthMetrics(samples []rollout.Sample) map[string]float64 {
	var all, terminated []int
	for _, s := range samples {
		all = append(all, len(s.IDs))
		if s.Finish == model.Stopped {
			terminated = append(terminated, len(s.IDs))
		}
	}
	a, t := summarize(all), summarize(terminated)
	return map[string]float64{
		MetricMeanLength: a.sum / float64(len(all)), MetricMinLength: a.min, MetricMaxLength: a.max,
		MetricMeanTerminatedLength: t.sum / float64(max(len(terminated), 1)),
		MetricMinTerminatedLength:  t.min, MetricMaxTerminatedLength: t.max,
		MetricTruncated: 1 - float64(len(terminated))/float64(len(all)),
	}
}
