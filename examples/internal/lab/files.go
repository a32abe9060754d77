package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/aha-go/aha/examples/internal/curves"
	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train"
	"github.com/aha-go/aha/rl"
	"github.com/aha-go/aha/rl/reward"
)

// WriteSettings writes a run's settings to path.
func WriteSettings(path string, settings any) error {
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// Settle writes a run's settings to path, or, where a run with other settings
// wrote its own there before, says what differs.
func Settle(path string, settings any) error {
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return WriteSettings(path, settings)
	} else if err != nil {
		return err
	}
	want, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	then, err := decode(have)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	now, err := decode(want)
	if err != nil {
		return err
	}
	if d := differences("", then, now); len(d) > 0 {
		return fmt.Errorf("%s is of a run with other settings (choose another -out, or those settings):\n  %s", path, strings.Join(d, "\n  "))
	}
	return nil
}

// decode keeps numbers as they are written: a seed may have 64 bits.
func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// differences lists where two JSON values differ, by path.
func differences(path string, a, b any) []string {
	x, ok1 := a.(map[string]any)
	y, ok2 := b.(map[string]any)
	if !ok1 || !ok2 {
		s, _ := json.Marshal(a)
		t, _ := json.Marshal(b)
		if bytes.Equal(s, t) {
			return nil
		}
		return []string{fmt.Sprintf("%s: there %s, now %s", strings.TrimPrefix(path, "."), s, t)}
	}
	var keys []string
	for k := range x {
		keys = append(keys, k)
	}
	for k := range y {
		if _, both := x[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var out []string
	for _, k := range keys {
		out = append(out, differences(path+"."+k, x[k], y[k])...)
	}
	return out
}

// Rows are the lines of a metrics file.
type Rows []map[string]any

// ReadMetrics reads a metrics.jsonl.
func ReadMetrics(path string) (Rows, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows Rows
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, i+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Max is the largest value of a metric over the rows that have it, if any do.
// A null, which stands for a value that is not finite, makes it NaN.
func (rows Rows) Max(name string) (most float64, ok bool) {
	for _, row := range rows {
		v, has := row[name]
		if !has {
			continue
		}
		f, finite := v.(float64)
		if !finite {
			return math.NaN(), true
		}
		if most = max(most, f); !ok {
			most, ok = f, true
		}
	}
	return most, ok
}

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
	rows, err := ReadMetrics(path)
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
func Draw(path string, rows Rows) error {
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
				h = &curves.HeatMap{Title: strings.TrimSuffix(name, "/load") + ": share of assignments", Z: make([][]float64, len(load))}
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
