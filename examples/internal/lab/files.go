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
)

// Settle writes a run's settings to path, or, where a run with other settings
// wrote its own there before, says what differs.
func Settle(path string, settings any) error {
	want, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return checkpoint.WriteAtomic(path, func(w io.Writer) error {
			_, err := w.Write(append(want, '\n'))
			return err
		})
	}
	if err != nil {
		return err
	}
	var a, b any
	if err := json.Unmarshal(have, &a); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		return err
	}
	if d := differences("", a, b); len(d) > 0 {
		return fmt.Errorf("the folder holds a run with other settings (choose another -out, or the settings of %s):\n  %s", path, strings.Join(d, "\n  "))
	}
	return nil
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

// Max is the largest value of a metric, NaN if one is missing or null.
func (rows Rows) Max(name string) float64 {
	most := math.Inf(-1)
	for _, row := range rows {
		v, ok := row[name].(float64)
		if !ok {
			return math.NaN()
		}
		most = max(most, v)
	}
	return most
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
// each layer's experts over the steps of a GRPO run.
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
			h.X = append(h.X, flat["step"])
			for e, n := range load {
				h.Z[e] = append(h.Z[e], float64(n)/total)
			}
		}
	}
	slices.Sort(layers)
	var f curves.Figure
	for _, name := range []string{"reward", "rewards/countdown/mean", "completions/mean_length", "entropy", "frac_reward_zero_std", "grad_norm"} {
		f.Panels = append(f.Panels, curves.Series(steps, "step", name))
	}
	for _, name := range layers {
		f.Maps = append(f.Maps, *heat[name])
	}
	return curves.PNG(path, f)
}
