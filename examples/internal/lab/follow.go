package lab

import (
	"fmt"
	"time"

	"github.com/aha-go/aha/examples/internal/progress"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// Follow shows the progress of base training on bar.
func (b *Base) Follow(bar *progress.Bar) {
	b.Log = bar.Logger()
	b.OnStep = func(m train.Metrics) {
		bar.Step(m.Step, fmt.Sprintf("base model, loss %.3f", m.Values[train.MetricLMLoss]))
	}
}

// Follow shows the progress of g on bar, prints metrics ten times during the run, and adds up
// the times of rollouts and updates.
func (o *Outcome) Follow(g *rl.GRPO, bar *progress.Bar) {
	g.Trainer.Log, g.Report = bar.Logger(), bar
	var rolled time.Time
	g.OnRollout = func(*rl.Rollout) { rolled = time.Now() }
	g.OnStep = func(m train.Metrics) {
		updates := time.Since(rolled)
		o.UpdateSeconds += updates.Seconds()
		o.RolloutSeconds += (m.Time - updates).Seconds()
		v := m.Values
		bar.Step(m.Step, fmt.Sprintf("GRPO, reward %.2f, length %.0f", v[rl.MetricReward], v[rl.MetricMeanLength]))
		if m.Step%max(g.Steps/10, 1) == 0 {
			fmt.Fprintf(bar, "step %3d: reward %.3f, correct %.3f, length %.1f, truncated %.2f, "+
				"entropy %.3f, dead groups %.2f\n",
				m.Step, v[rl.MetricReward], v[reward.MetricMean("countdown")], v[rl.MetricMeanLength],
				v[rl.MetricTruncated], v[rl.MetricEntropy], v[rl.MetricRewardZeroStd])
		}
	}
	g.OnAlarm = func(step int, alarms []string) {
		for _, a := range alarms {
			fmt.Fprintf(bar, "step %3d: ALARM: %s\n", step, a)
		}
	}
}
