package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aha-go/aha/moe"
)

// Metrics are the metrics of one step.
type Metrics struct {
	Step int           // number of steps made, including this one
	Time time.Duration // wall-clock time, the only value that is not reproducible
	// Values has MetricLoss, MetricGradNorm (before clipping), MetricLearningRate,
	// MetricNumTokens (in total), MetricMaxVio of each gate, and the metrics that the loss
	// observed.
	Values map[string]float64
	Loads  map[string][]int // assignments to each expert, by MetricLoad of each gate
}

// MarshalJSON returns one flat object with sorted keys: step, step_time in seconds, Values
// and Loads. Values that are not finite are null.
func (m Metrics) MarshalJSON() ([]byte, error) {
	flat := map[string]any{}
	for name, v := range m.Values {
		flat[name] = v
		if math.IsNaN(v) || math.IsInf(v, 0) {
			flat[name] = nil
		}
	}
	for name, load := range m.Loads {
		flat[name] = load
	}
	flat[MetricStep] = m.Step
	flat[MetricStepTime] = m.Time.Seconds()
	return json.Marshal(flat)
}

// loads reads the loads of all gates and adds them to m.
func (t *Trainer) loads(m Metrics) ([][]int, error) {
	loads := make([][]int, len(t.gates))
	for i, g := range t.gates {
		load, err := g.Load()
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", g.layer, err)
		}
		m.Loads[MetricLoad(g.layer, g.place)] = load
		m.Values[MetricMaxVio(g.layer, g.place)] = moe.MaxVio(load)
		loads[i] = load
	}
	return loads, nil
}

// metricsFile is a file of metrics with one JSON object per line.
type metricsFile struct{ f *os.File }

// openMetrics opens or creates metrics.jsonl in Dir to continue a run after the given step.
// It removes the lines of later steps, which will be written again. A damaged line is
// removed together with all lines after it, and logged, if it is the incomplete last line
// or if all steps up to the given one have lines before it; otherwise it is an error.
// Missing lines of steps are logged.
func (t *Trainer) openMetrics(step int) (*metricsFile, error) {
	if err := t.start(); err != nil {
		return nil, err
	}
	path := filepath.Join(t.Dir, "metrics.jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	kept, err := linesUntil(f, step)
	if err == nil {
		err = f.Truncate(kept.end)
	}
	if err == nil {
		_, err = f.Seek(kept.end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("train: %s: %w", path, err)
	}
	if kept.damage != nil {
		t.Logger().Warn("metrics file repaired: cut off from a damaged line on",
			"file", path, "damage", kept.damage, "step", step)
	}
	if len(kept.missing) > 0 {
		t.Logger().Warn("metrics file has no lines for completed steps",
			"file", path, "steps", strings.Join(kept.missing, ", "))
	}
	t.metrics = &metricsFile{f}
	return t.metrics, nil
}

// keptLines describes the lines of a metrics file that a resumed run keeps.
type keptLines struct {
	end     int64    // offset of the end of the last kept line
	last    int      // greatest step with a line
	missing []string // steps without a line, such as "3" or "5 to 8"
	damage  error    // error of the line after the kept ones; nil if there is none or if it is intact
}

// lack records that the steps between the last one and next have no line.
func (k *keptLines) lack(next int) {
	switch n := next - k.last - 1; {
	case n == 1:
		k.missing = append(k.missing, strconv.Itoa(next-1))
	case n > 1:
		k.missing = append(k.missing, fmt.Sprintf("%d to %d", k.last+1, next-1))
	}
}

// linesUntil finds the lines up to step.
func linesUntil(r io.Reader, step int) (keptLines, error) {
	var kept keptLines
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return kept, err
		}
		at, damage := step+1, error(nil) // the value after the last line
		if len(line) > 0 {
			at, damage = stepOf(line)
		}
		if damage != nil {
			damage = fmt.Errorf("line %d: %w", n, damage)
			if kept.last < step && err == nil {
				const text = "%w; lines up to step %d, where the run continues, cannot be written again: mend or remove it"
				return kept, fmt.Errorf(text, damage, step)
			}
			kept.damage, at = damage, step+1
		}
		if at > step {
			kept.lack(step + 1)
			return kept, nil
		}
		kept.lack(at)
		kept.last = max(kept.last, at)
		kept.end += int64(len(line))
	}
}

// stepOf returns the step of a line.
func stepOf(line []byte) (int, error) {
	if !bytes.HasSuffix(line, []byte("\n")) {
		return 0, errors.New("no newline at its end")
	}
	var record struct {
		Step *int `json:"step"`
	}
	if err := json.Unmarshal(line, &record); err != nil {
		return 0, err
	}
	if record.Step == nil {
		return 0, errors.New("it has no step")
	}
	return *record.Step, nil
}

// Write appends one line.
func (f *metricsFile) Write(m Metrics) error {
	line, err := json.Marshal(m)
	if err == nil {
		_, err = f.f.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// sync flushes the file to disk, unless it is closed.
func (f *metricsFile) sync() error {
	if err := f.f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// Close flushes the file to disk and closes it.
func (f *metricsFile) Close() error {
	if err := errors.Join(f.f.Sync(), f.f.Close()); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}
