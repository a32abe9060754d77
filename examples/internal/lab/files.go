package lab

import (
	"slices"
	"strings"

	"github.com/aha-go/aha/examples/internal/curves"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// loads are the experts' loads of a row by metric name.
func loads(row map[string]any) map[string][]int {
	out := map[string][]int{}
	for name, v := range row {
		list, ok := v.([]any)
		if !ok || !strings.HasSuffix(name, "/load") {
			continue
		}
		for _, n := range list {
			f, _ := n.(float64)
			out[name] = append(out[name], int(f))
		}
	}
	return out
}

// ReadBalance follows the balance of the experts through a metrics file.
func ReadBalance(path string) (*Balance, error) {
	rows, err := run.ReadMetrics(path)
	if err != nil {
		return nil, err
	}
	var b Balance
	for _, row := range rows {
		b.Add(loads(row))
	}
	return &b, nil
}

// Draw draws reward, accuracy, length, entropy, dead groups and the load of
// each layer's experts over the steps of a GRPO run. What no step has, for want
// of anything to learn from, is left out.
func Draw(path string, rows run.Rows) error {
	var steps []map[string]float64
	heat := map[string]*curves.HeatMap{}
	var layers []string
	for _, row := range rows {
		flat := map[string]float64{}
		for name, v := range row {
			if f, ok := v.(float64); ok {
				flat[name] = f
			}
		}
		steps = append(steps, flat)
		for name, load := range loads(row) {
			h := heat[name]
			if h == nil {
				h = &curves.HeatMap{Title: strings.TrimSuffix(name, "/load") + ": share of assignments", Z: make([][]float64,
					len(load))}
				heat[name] = h
				layers = append(layers, name)
			}
			total := 0.0
			for _, n := range load {
				total += float64(n)
			}
			h.X = append(h.X, flat[train.MetricStep])
			for e, n := range load {
				h.Z[e] = append(h.Z[e], float64(n)/total)
			}
		}
	}
	slices.Sort(layers)
	var f curves.Figure
	for _, name := range []string{
		rl.MetricReward, reward.MetricMean("countdown"), rl.MetricMeanLength,
		rl.MetricEntropy, rl.MetricRewardZeroStd, train.MetricGradNorm,
	} {
		if p := curves.Series(steps, train.MetricStep, name); len(p.X) > 0 {
			f.Panels = append(f.Panels, p)
		}
	}
	for _, name := range layers {
		f.Maps = append(f.Maps, *heat[name])
	}
	return curves.PNG(path, f)
}
