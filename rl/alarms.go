package rl

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/aha-go/aha/rl/reward"
)

// Thresholds are the limits beyond which a metric raises an alarm. A field that is 0
// means the default in its comment; a negative one disables the alarm; NaN is an error.
// Each alarm says what to try.
//
// An alarm is a function of the metrics of a step, the thresholds and a short history
// of metrics. Checkpoints store the history, so a resumed run raises the same alarms.
type Thresholds struct {
	// Window is the number of steps in the two means that alarms use: the mean over the
	// first steps of the run, which is the baseline, and the mean over the last steps.
	// 0 means 10; negative values are an error.
	Window int

	MinEntropy   float64 // alarm if entropy is below this, in nats; 0 means 0.01
	EntropyFall  float64 // alarm if entropy is below this fraction of its mean over the first steps; 0 means 0.1
	MaxTruncated float64 // alarm if completions/clipped_ratio is above this; 0 means 0.5
	// LengthFall raises an alarm if completions/mean_length is below this fraction of its
	// mean over the first steps; 0 means 0.25.
	LengthFall float64
	// LengthGrowth raises an alarm if completions/mean_length is above this multiple of
	// its mean over the first steps; 0 means 4.
	LengthGrowth float64
	MaxClipRatio float64 // alarm if clip_ratio/region_mean is above this; 0 means 0.2
	MaxRatio     float64 // alarm if ratio/max is above this or ratio/min below its inverse; 0 means 1000
	MaxKL        float64 // alarm if kl is above this; 0 means 1
	// KLSpike raises an alarm if kl is above 0.01 and above this multiple of its mean over
	// the last steps; 0 means 10.
	KLSpike float64
	// DeadSteps raises an alarm after this many steps in a row with frac_reward_zero_std
	// 1; 0 means 3.
	DeadSteps int
	// MaxLengthCorrelation raises an alarm if the mean of reward_length_correlation over
	// the last steps is above this; 0 means 0.5.
	MaxLengthCorrelation float64
	// MaxFall detects reward hacking. It raises an alarm if a true reward has fallen from
	// its best by more than this fraction and by more than 3 standard errors, while the
	// reward or the length has risen by more than 2 standard errors. 0 means 0.1. True
	// rewards are the means of MetricOnly functions over the last steps, and
	// val-core/<source>/mean@<n> of Trainer.Eval if the last two evaluations are below
	// the best.
	MaxFall float64
}

func (t Thresholds) window() int { return cmp.Or(t.Window, 10) }

// kept returns the number of steps that the history stores.
func (t Thresholds) kept() int { return max(t.window(), cmp.Or(t.DeadSteps, 3)) }

// The advice in the texts of alarms.
const (
	tryEntropy = "try a greater Objective.EpsilonHigh (DAPO: 0.28), an Objective.EntropyCoef such as 0.001 " +
		"or a lower learning rate"
	tryTruncated = "try a greater MaxTokens, MaskTruncated, or reward.SoftOverlong"
	tryCollapse  = "look at samples; try less weight for rewards of format and length, " +
		"or reward.Repetition where they are copies"
	tryExplosion = "if the reward does not rise with it, try LossDrGRPO (LossGRPO favours long wrong answers), " +
		"reward.SoftOverlong or reward.Repetition"
	tryUpdates = "try fewer NumIterations or MiniBatches, or a lower learning rate"
	tryRatio   = tryUpdates + "; for rollouts in another precision, RouterReplay"
	tryKL      = "try a greater Objective.Beta or a lower learning rate, or RefSync if the drift is wanted"
	trySpike   = "try a lower learning rate or Trainer.ClipNorm, and look at grad_norm and the samples of this step"
	tryDead    = "try easier problems if reward is low and harder ones if it is high, a greater G or temperature, " +
		"and Preflight for a format that is never met"
	tryLength = "see that long answers are right too; try LossDrGRPO with ScaleNone, reward.GroupLength or reward.Cosine"
	tryHack   = "stop at the best checkpoint (Trainer.KeepBest); read samples with a high reward, fix the reward or " +
		"train its model on them; try a greater Objective.Beta"
)

// check returns the alarms of a step with metrics m, given the history h of the steps
// before it.
func (t Thresholds) check(h history, m map[string]float64) []string {
	var alarms []string
	limit := func(metric string, bound, sign float64, text, try string) {
		v, ok := m[metric]
		if ok && bound > 0 && !(sign*v <= sign*bound) { // NaN is an alarm
			alarms = append(alarms, fmt.Sprintf("%s: %s is %.4g, the limit is %.4g; %s", text, metric, v, bound, try))
		}
	}
	// relative applies a limit of factor times mean, if the mean is known.
	relative := func(metric string, factor, mean, sign float64, text, try string) {
		if factor > 0 && mean > 0 {
			limit(metric, factor*mean, sign, fmt.Sprintf("%s from %.4g", text, mean), try)
		}
	}
	entropy, length := h.start(MetricEntropy, t.window()), h.start(MetricMeanLength, t.window())
	limit(MetricEntropy, cmp.Or(t.MinEntropy, 0.01), -1, "the entropy collapsed", tryEntropy)
	relative(MetricEntropy, cmp.Or(t.EntropyFall, 0.1), entropy, -1, "the entropy collapsed", tryEntropy)
	limit(MetricTruncated, cmp.Or(t.MaxTruncated, 0.5), 1, "many completions are truncated", tryTruncated)
	relative(MetricMeanLength, cmp.Or(t.LengthFall, 0.25), length, -1, "the length collapsed", tryCollapse)
	relative(MetricMeanLength, cmp.Or(t.LengthGrowth, 4), length, 1, "the length exploded", tryExplosion)
	limit(MetricClipRegionMean, cmp.Or(t.MaxClipRatio, 0.2), 1, "many tokens are clipped", tryUpdates)
	most := cmp.Or(t.MaxRatio, 1000)
	limit(MetricRatioMax, most, 1, "importance ratios are out of range", tryRatio)
	limit(MetricRatioMin, 1/most, -1, "importance ratios are out of range", tryRatio)
	limit(MetricKL, cmp.Or(t.MaxKL, 1), 1, "the policy is far from the reference", tryKL)
	if kl, ok := h.mean(MetricKL, t.window()); ok && m[MetricKL] > 0.01 {
		relative(MetricKL, cmp.Or(t.KLSpike, 10), kl.Value, 1, "kl has a spike", trySpike)
	}
	now := h.with(m)
	if n := cmp.Or(t.DeadSteps, 3); n > 0 && now.dead() >= n {
		alarms = append(alarms, fmt.Sprintf("no group has a learning signal: %s is 1 for %d steps; %s",
			MetricRewardZeroStd, now.dead(), tryDead))
	}
	if c, ok := now.mean(MetricLengthCorrelation, t.window()); ok {
		most := cmp.Or(t.MaxLengthCorrelation, 0.5)
		if most > 0 && c.Value > most {
			alarms = append(alarms, fmt.Sprintf("long answers are rewarded: the mean of %s over %d steps is %.4g, the limit is "+
				"%.4g; %s", MetricLengthCorrelation, t.window(), c.Value, most, tryLength))
		}
	}
	for _, truth := range slices.Sorted(maps.Keys(h.Best)) {
		if v, ok := now.mean(truth, t.window()); ok {
			if text, fell := h.Best[truth].hacked(now, truth, v, t); fell {
				alarms = append(alarms, text)
			}
		}
	}
	return alarms
}

// checkEvaluation returns the alarms of an evaluation with metrics m, given the history
// h of what came before it.
func (t Thresholds) checkEvaluation(h history, m map[string]float64) []string {
	var alarms []string
	for _, truth := range accuracies(m) {
		if b, ok := h.Best[truth]; ok && b.Below > 0 {
			if text, fell := b.hacked(h, truth, average{Value: m[truth]}, t); fell {
				alarms = append(alarms, text)
			}
		}
	}
	return alarms
}

// accuracies returns the names in m of the true rewards of an evaluation,
// val-core/<source>/mean@<n>.
func accuracies(m map[string]float64) []string {
	names := slices.Sorted(maps.Keys(m))
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, metricCore) || !strings.Contains(name, metricMeanAt)
	})
}

func (t Thresholds) validate() error {
	bound := func(name string, v float64) error {
		if math.IsNaN(v) {
			return fmt.Errorf("Alarms.%s is NaN, want a number", name)
		}
		return nil
	}
	return cmp.Or(
		count("Alarms.Window", t.Window),
		bound("MinEntropy", t.MinEntropy), bound("EntropyFall", t.EntropyFall), bound("MaxTruncated", t.MaxTruncated),
		bound("LengthFall", t.LengthFall), bound("LengthGrowth", t.LengthGrowth), bound("MaxClipRatio", t.MaxClipRatio),
		bound("MaxRatio", t.MaxRatio), bound("MaxKL", t.MaxKL), bound("KLSpike", t.KLSpike),
		bound("MaxLengthCorrelation", t.MaxLengthCorrelation), bound("MaxFall", t.MaxFall),
	)
}

// evaluated checks the metrics of an evaluation for alarms and adds them to the history.
func (g *GRPO) evaluated(m map[string]float64) {
	g.alarm(g.Alarms.checkEvaluation(g.history, m))
	g.history.addEvaluation(m, g.Alarms)
}

// failed returns an alarm that counts the samples whose reward failed, if any.
func failed(s *reward.Scores) []string {
	n, first := failures(s)
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d rewards failed, the first with: %v", n, len(s.Totals), first)}
}

// failures counts the samples whose reward failed, and returns the first error.
func failures(s *reward.Scores) (n int, first error) {
	for _, v := range s.Totals {
		if v.Status == reward.Timeout || v.Status == reward.Error {
			if n == 0 {
				first = v.Err
			}
			n++
		}
	}
	return n, first
}
