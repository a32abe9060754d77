package train

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/aha-go/aha/moe"
)

// Metrics is what one step says about itself.
type Metrics struct {
	Step int           // steps made, this one included
	Time time.Duration // wall time: the one value that is not reproducible
	// Values has MetricLoss, MetricGradNorm (before clipping),
	// MetricLearningRate, MetricNumTokens (so far), MetricMaxVio of each MoE layer
	// and what the loss observed.
	Values map[string]float64
	Loads  map[string][]int // by MetricLoad of each MoE layer: assignments to each expert
}

// MarshalJSON is one flat object with sorted keys: step, step_time in seconds,
// Values and Loads. A value that is not finite is null.
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

// loads reads the loads of all gates and enters them to m.
func (t *Trainer) loads(m Metrics) ([][]int, error) {
	loads := make([][]int, len(t.gates))
	for i, g := range t.gates {
		load, err := g.Load()
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", g.layer, err)
		}
		m.Loads[MetricLoad(g.layer)] = load
		m.Values[MetricMaxVio(g.layer)] = moe.MaxVio(load)
		loads[i] = load
	}
	return loads, nil
}

// MetricsFile is a file of metrics, one JSON object a line.
type MetricsFile struct{ f *os.File }

// OpenMetricsFile opens the file at path to continue a run after the given step,
// creating it if need be. Lines of later steps are cut off, and with them what a
// killed run left unfinished.
func OpenMetricsFile(path string, step int) (*MetricsFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	end, err := endOfStep(f, step)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("train: %s: %w", path, err)
	}
	return &MetricsFile{f}, nil
}

// endOfStep is the offset behind the last line up to step.
func endOfStep(r io.Reader, step int) (int64, error) {
	var end int64
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF { // a line without its end was never finished
			return end, nil
		} else if err != nil {
			return 0, err
		}
		var record struct {
			Step *int `json:"step"`
		}
		if err := json.Unmarshal(line, &record); err != nil {
			return 0, fmt.Errorf("line %d: %w", n, err)
		}
		if record.Step == nil {
			return 0, fmt.Errorf("line %d has no step", n)
		}
		if *record.Step > step {
			return end, nil
		}
		end += int64(len(line))
	}
}

// Write appends one line.
func (f *MetricsFile) Write(m Metrics) error {
	line, err := json.Marshal(m)
	if err == nil {
		_, err = f.f.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}

// Close flushes the file to disk and closes it.
func (f *MetricsFile) Close() error {
	if err := errors.Join(f.f.Sync(), f.f.Close()); err != nil {
		return fmt.Errorf("train: metrics: %w", err)
	}
	return nil
}
