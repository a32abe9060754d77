package rl

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aha-go/aha/model"
)

// rolloutModel describes the precision and the format of a model that generates the
// rollouts for the trained model.
type rolloutModel struct {
	DType     string `json:"dtype"`
	Precision string `json:"precision"`
	RoundKV   bool   `json:"round_kv"`
	Absorbed  bool   `json:"absorbed"`
	Format    string `json:"format"`
	Tables    string `json:"tables"`
}

// rolloutModelOf returns the description of m, or nil if m is nil.
func rolloutModelOf(m *model.Model) *rolloutModel {
	if m == nil {
		return nil
	}
	o := m.Options
	return &rolloutModel{
		DType: o.DType.String(), Precision: m.ActivationDType().String(), RoundKV: o.RoundKV, Absorbed: m.Absorbed(),
		Format: o.Format.String(), Tables: o.Tables.String(),
	}
}

// validateRouting reports settings that cannot be combined with the Sampler's model or with
// its experts.
func (g *GRPO) validateRouting() error {
	p := g.Sampler.Policy()
	switch {
	case g.FailOnMismatch && p.Drawn != nil:
		return errors.New("GRPO.FailOnMismatch is set and GRPO.Sampler generates with another model than " +
			"GRPO.Trainer.Model: their log-probabilities are not the same bit for bit")
	case g.RouterReplay && g.Trainer.Model.ExpertsPerRow() == 0:
		return errors.New("GRPO.RouterReplay is set and GRPO.Trainer.Model has no experts")
	case g.RouterReplay && !p.Experts:
		return errors.New("GRPO.RouterReplay is set and GRPO.Sampler does not record experts: " +
			"see model.GeneratorOptions.Experts")
	}
	return nil
}

// replay makes the forward passes on xs use the experts of the rollout, under RouterReplay.
func (g *GRPO) replay(xs []trainSample) {
	if !g.RouterReplay {
		return
	}
	for i := range xs {
		xs[i].seq.Experts = xs[i].Experts
	}
}

// routingStats compares the experts that a rollout used with those that the gates of the
// trained model choose.
type routingStats struct {
	choices int // number of tokens × gates
	other   int // number of choices that differ from the rollout's
}

// compare counts the choices of the gates in the forward pass on b, the batch of xs.
func (t *routingStats) compare(m *model.Model, b model.Batch, xs []trainSample) error {
	chosen, err := m.ChosenExperts(b)
	if err != nil {
		return fmt.Errorf("the experts of the trained model: %w", err)
	}
	gates, _ := m.Gates()
	for i, x := range xs {
		rollout, now := x.Experts, chosen[i]
		for range x.seq.Rows() {
			for _, gate := range gates {
				_, k := gate.Shape()
				t.choices++
				if !slices.Equal(rollout[:k], now[:k]) {
					t.other++
				}
				rollout, now = rollout[k:], now[k:]
			}
		}
	}
	return nil
}

// enter adds the share of choices that differ, if any were counted.
func (t *routingStats) enter(v map[string]float64) {
	if t.choices > 0 {
		v[MetricRouterMismatch] = float64(t.other) / float64(t.choices)
	}
}
