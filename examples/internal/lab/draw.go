package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aha-go/aha/examples/internal/curves"
	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// story is the data of a run that curves.png shows.
type story struct {
	Seed      uint64       `json:"seed"`
	Control   string       `json:"control"`
	Precision string       `json:"precision"`
	Scale     Scale        `json:"scale"`
	Model     model.Config `json:"model"`

	base, grpo run.Rows // the metrics of both phases
	before     *Before  // nil before the first evaluation
	after      *After   // nil before the second evaluation
}

// Draw draws curves.png for the run in the folder out from its files. Results that do not
// exist yet, such as the evaluation after GRPO, are left out.
func Draw(out string) error {
	s, err := readStory(out)
	if err != nil {
		return err
	}
	if err := curves.PNG(filepath.Join(out, "curves.png"), s.figure()); err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	return nil
}

// readStory reads the data of the run in out. config.json must exist; other files may be
// missing.
func readStory(out string) (s story, err error) {
	path := filepath.Join(out, "config.json")
	if err := readJSON(path, &s); err != nil {
		return s, err
	}
	if err := s.Model.Validate(); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	for _, phase := range []struct {
		name string
		rows *run.Rows
	}{{"base", &s.base}, {"grpo", &s.grpo}} {
		*phase.rows, err = run.ReadMetrics(filepath.Join(out, phase.name, "metrics.jsonl"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	if err := readJSON(filepath.Join(out, "base", evaluationFile), &s.before); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := readJSON(filepath.Join(out, "grpo", evaluationFile), &s.after); err != nil &&
		!errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	return s, nil
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

const (
	baseStep = "step of the base training"
	grpoStep = "step of GRPO"
)

// figure returns the figure of the run: held-out problems, then GRPO, base training and
// experts.
func (s story) figure() curves.Figure {
	f := curves.Figure{Title: s.title(), Subtitle: s.subtitle()}
	if s.before != nil {
		f.Charts = append(f.Charts, s.heldOut())
	}
	grpo := flat(s.grpo)
	for _, c := range []struct {
		metric     string
		factor     float64
		title, y   string
		yMin, yMax float64
	}{
		{rl.MetricReward, 1, "Reward", "mean of a completion", 0, 1},
		{reward.MetricMean("countdown"), 100, "Training problems solved", "% of completions", 0, 100},
		{rl.MetricMeanLength, 1, "Length of completions", "tokens, mean", 0, 1},
		{rl.MetricEntropy, 1, "Entropy of the policy", "nats a token", 0, 0.01},
		{rl.MetricRewardZeroStd, 100, "Dead groups: all rewards equal", "% of groups", 0, 100},
	} {
		line := curves.Series(grpo, train.MetricStep, c.metric)
		for i := range line.Y {
			line.Y[i] *= c.factor
		}
		if len(line.X) > 0 {
			f.Charts = append(f.Charts, curves.Panel{Title: c.title, XLabel: grpoStep, YLabel: c.y,
				Lines: []curves.Line{line}, YMin: c.yMin, YMax: c.yMax})
		}
	}
	f.Charts = append(f.Charts, s.baseCharts()...)
	if line := curves.Series(grpo, train.MetricStep, train.MetricGradNorm); len(line.X) > 0 {
		f.Charts = append(f.Charts, curves.Panel{Title: "Norm of the gradient", XLabel: grpoStep,
			YLabel: "before clipping", Lines: []curves.Line{line}, YMax: 0.01})
	}
	f.Charts = append(f.Charts, expertCharts(s.grpo)...)
	return f
}

// title returns the task and, if it is known, the gain of pass@1.
func (s story) title() string {
	t := "Countdown with three numbers"
	if n := s.Scale.Task.MaxNumber; n > 0 {
		t += fmt.Sprintf(" up to %d", n)
	}
	switch s.Control {
	case "shuffled":
		t += ", control with shuffled rewards"
	case "unbalanced":
		t += ", control without balance of the experts"
	default:
		t += ", learned by GRPO"
	}
	if s.before != nil && s.after != nil {
		t += fmt.Sprintf(": pass@1 %.1f%% → %.1f%%", 100*s.before.Pass1, 100*s.after.Pass1After)
	}
	return t
}

// subtitle describes the model, the seed and the size of the run.
func (s story) subtitle() string {
	total, active := s.Model.NumParams()
	total += s.Model.NumMTPParams()
	const million = 1e6
	t := fmt.Sprintf("DeepSeek-V3 architecture, %.2f M parameters, %.2f M active per token", float64(total)/million,
		float64(active)/million)
	if s.Precision != "" {
		t += ", " + s.Precision
	}
	t += fmt.Sprintf("  ·  seed %d  ·  %d steps of base training", s.Seed, s.Scale.BaseSteps)
	if s.Control != "unbalanced" {
		t += fmt.Sprintf(", %d of GRPO with %d × %d completions", s.Scale.RLSteps, s.Scale.Prompts, s.Scale.Group)
	}
	return t
}

// heldOut returns the chart of the evaluations before and after GRPO.
func (s story) heldOut() curves.Chart {
	after := After{Pass1After: math.NaN(), Pass16After: math.NaN(), Maj16After: math.NaN()}
	if s.after != nil {
		after = *s.after
	}
	c := curves.Change{YMax: 100, XLabel: "GRPO", YLabel: "% solved",
		Title: fmt.Sprintf("Held-out problems: %d × %d samples", s.Scale.Problems, s.Scale.Samples)}
	for _, m := range []struct {
		name          string
		before, after float64
	}{
		{"pass@1", s.before.Pass1, after.Pass1After},
		{fmt.Sprintf("pass@%d", s.Scale.PassAt), s.before.Pass16, after.Pass16After},
		{fmt.Sprintf("maj@%d", s.Scale.PassAt), s.before.Maj16, after.Maj16After},
	} {
		c.Marks = append(c.Marks, curves.Mark{Name: m.name, Before: 100 * m.before, After: 100 * m.after})
	}
	return c
}

// flat returns the metrics of rows that are numbers.
func flat(rows run.Rows) []map[string]float64 {
	var steps []map[string]float64
	for _, row := range rows {
		numbers := map[string]float64{}
		for name, v := range row {
			if f, ok := v.(float64); ok {
				numbers[name] = f
			}
		}
		steps = append(steps, numbers)
	}
	return steps
}

// baseCharts returns the charts of loss and balance in base training. If there are more than
// 200 points, they are averaged.
func (s story) baseCharts() (charts []curves.Chart) {
	smooth := func(l curves.Line) (_ curves.Line, of int) {
		of = 1 + (len(l.X)-1)/200
		return l.Mean(of), of
	}
	rows := flat(s.base)
	if line := curves.Series(rows, train.MetricStep, train.MetricLMLoss); len(line.X) > 0 {
		p := curves.Panel{Title: "Base model: loss of the next token", XLabel: baseStep, YLabel: "nats a token", YMax: 0.1}
		line, of := smooth(line)
		if of > 1 {
			p.XLabel += fmt.Sprintf(", means of %d", of)
		}
		p.Lines = []curves.Line{line}
		charts = append(charts, p)
	}
	var b Balance
	var vio curves.Line
	for i, row := range s.base {
		b.Add(loads(row))
		if n := len(b.Windows); n > len(vio.Y) {
			vio.X, vio.Y = append(vio.X, rows[i][train.MetricStep]), append(vio.Y, b.Windows[n-1])
		}
	}
	if len(vio.X) > 0 {
		vio, _ = smooth(vio)
		charts = append(charts, curves.Panel{Title: "Base model: MaxVio of the experts", XLabel: baseStep,
			YLabel: "greatest load / mean − 1", Lines: []curves.Line{vio}, YMax: 0.5})
	}
	return charts
}

// expertCharts returns a heat map for each gate of its experts' loads, as multiples of the
// uniform load.
func expertCharts(rows run.Rows) (charts []curves.Chart) {
	heat := map[string]*curves.HeatMap{}
	for _, row := range rows {
		step, _ := row[train.MetricStep].(float64)
		for name, load := range loads(row) {
			layer := strings.TrimSuffix(strings.TrimPrefix(name, "moe/"), "/load")
			m := heat[name]
			if m == nil {
				m = &curves.HeatMap{Title: "Load of the experts of layer " + layer + ", × uniform", XLabel: grpoStep,
					Z: make([][]float64, len(load)), High: 2}
				heat[name] = m
			}
			total := 0.0
			for _, n := range load {
				total += float64(n)
			}
			m.X = append(m.X, step)
			for e, n := range load {
				m.Z[e] = append(m.Z[e], float64(n)*float64(len(load))/total)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(heat)) {
		charts = append(charts, *heat[name])
	}
	return charts
}
