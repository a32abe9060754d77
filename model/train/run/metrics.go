package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// Rows are the lines of a metrics file, one per step: numbers, lists of numbers, and nil
// for values that were not finite.
type Rows []map[string]any

// ReadMetrics reads a metrics.jsonl. A run may still be writing it: an incomplete last line
// is ignored.
func ReadMetrics(path string) (Rows, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows Rows
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Max returns the largest value of a metric over the rows that have it; ok is false if none
// has. A null, which means a value that is not finite, makes the result NaN.
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

// Sum returns the sum of a metric over the rows that have it. A null counts as 0.
func (rows Rows) Sum(name string) float64 {
	sum := 0.0
	for _, row := range rows {
		v, _ := row[name].(float64)
		sum += v
	}
	return sum
}
