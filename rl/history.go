package rl

import (
	"cmp"
	"fmt"
	"math"

	"github.com/aha-go/aha/rl/reward"
)

// history holds the earlier metrics that alarms compare a step with.
type history struct {
	Start map[string]sum       `json:"start,omitempty"` // sums of metrics over the first steps
	Rows  []map[string]float64 `json:"rows,omitempty"`  // metrics of the last steps, the newest last
	Best  map[string]peak      `json:"best,omitempty"`  // best values of true rewards, by metric
}

// sum is the sum of the first N values of a metric.
type sum struct {
	N   int     `json:"n"`
	Sum float64 `json:"sum"`
}

// average is a mean with its standard error, which is 0 if unknown.
type average struct {
	Value float64 `json:"value"`
	Error float64 `json:"error,omitempty"`
}

// peak is the best value of a true reward, with the reward and the length at that time.
type peak struct {
	average
	Reward average `json:"reward"`
	Length average `json:"length"`
	Below  int     `json:"below,omitempty"` // number of last evaluations in a row that were well below it
}

// watched lists the metrics whose values over the last steps alarms use, in addition to
// true rewards.
var watched = []string{MetricReward, MetricMeanLength, MetricKL, MetricRewardZeroStd, MetricLengthCorrelation}

// add adds the metrics of a step. truths are the names of the true rewards.
func (h *history) add(m map[string]float64, t Thresholds, truths []string) {
	for _, name := range []string{MetricEntropy, MetricMeanLength} {
		s := h.Start[name]
		if v, ok := m[name]; ok && finite(v) && s.N < t.window() {
			if h.Start == nil {
				h.Start = map[string]sum{}
			}
			h.Start[name] = sum{s.N + 1, s.Sum + v}
		}
	}
	row := map[string]float64{}
	for _, names := range [][]string{watched, truths} {
		for _, name := range names {
			if v, ok := m[name]; ok && finite(v) { // JSON cannot represent NaN and Inf
				row[name] = v
			}
		}
	}
	*h = h.with(row)
	if extra := len(h.Rows) - t.kept(); extra > 0 {
		h.Rows = h.Rows[extra:]
	}
	for _, name := range truths {
		if v, ok := h.mean(name, t.window()); ok {
			h.reach(name, v, t)
		}
	}
}

// addEvaluation adds the metrics of an evaluation.
func (h *history) addEvaluation(m map[string]float64, t Thresholds) {
	for _, name := range accuracies(m) {
		v := m[name]
		if !finite(v) {
			continue
		}
		h.reach(name, average{Value: v}, t)
		if b, ok := h.Best[name]; ok && t.fell(b.average, average{Value: v}) {
			b.Below++
			h.Best[name] = b
		} else if ok && b.Below > 0 {
			b.Below = 0
			h.Best[name] = b
		}
	}
}

// reach records v as the best value of the true reward with the given name, if it is.
func (h *history) reach(name string, v average, t Thresholds) {
	if b, ok := h.Best[name]; ok && b.Value >= v.Value {
		return
	}
	reward, scored := h.mean(MetricReward, t.window())
	length, some := h.mean(MetricMeanLength, t.window())
	if !scored || !some {
		return
	}
	if h.Best == nil {
		h.Best = map[string]peak{}
	}
	h.Best[name] = peak{average: v, Reward: reward, Length: length}
}

// with returns h with row appended to Rows.
func (h history) with(row map[string]float64) history {
	h.Rows = append(h.Rows[:len(h.Rows):len(h.Rows)], row)
	return h
}

// start returns the mean of a metric over the first window steps, or 0 before they are
// made.
func (h history) start(name string, window int) float64 {
	if s := h.Start[name]; s.N >= window {
		return s.Sum / float64(s.N)
	}
	return 0
}

// mean returns the mean of a metric over the last window steps. ok is false unless all of
// them have the metric.
func (h history) mean(name string, window int) (a average, ok bool) {
	if len(h.Rows) < window {
		return a, false
	}
	values := make([]float64, window)
	for i, row := range h.Rows[len(h.Rows)-window:] {
		if values[i], ok = row[name]; !ok {
			return a, false
		}
	}
	mean, std := meanStd(values)
	return average{mean, std / math.Sqrt(float64(window))}, true
}

// dead counts the last steps in a row with frac_reward_zero_std 1.
func (h history) dead() (n int) {
	for i := len(h.Rows) - 1; i >= 0 && h.Rows[i][MetricRewardZeroStd] == 1; i-- {
		n++
	}
	return n
}

// fell reports whether a true reward is well below its best.
func (t Thresholds) fell(best, now average) bool {
	part := cmp.Or(t.MaxFall, 0.1)
	return part > 0 && best.Value-now.Value > max(part*math.Abs(best.Value), 3*math.Hypot(best.Error, now.Error))
}

// rose reports whether now is well above was.
func rose(was, now average) bool { return now.Value-was.Value > 2*math.Hypot(was.Error, now.Error) }

// hacked returns an alarm if the true reward has fallen from b to v while the reward or
// the length, averaged over the last rows of h, has risen.
func (b peak) hacked(h history, truth string, v average, t Thresholds) (text string, is bool) {
	if !t.fell(b.average, v) {
		return "", false
	}
	for _, c := range []struct {
		metric string
		was    average
	}{{MetricReward, b.Reward}, {MetricMeanLength, b.Length}} {
		if now, ok := h.mean(c.metric, t.window()); ok && rose(c.was, now) {
			return fmt.Sprintf("the reward is exploited: %s has fallen from %.4g to %.4g, while %s has risen from %.4g to "+
				"%.4g; %s", truth, b.Value, v.Value, c.metric, c.was.Value, now.Value, tryHack), true
		}
	}
	return "", false
}

// trueRewards returns the names of the metrics of MetricOnly functions, their means.
func trueRewards(s *reward.Suite) (names []string) {
	for _, f := range s.Funcs {
		if f.MetricOnly {
			names = append(names, reward.MetricMean(f.Name))
		}
	}
	return names
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
