package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// Rows are the lines of a metrics file, one a step: numbers, lists of numbers,
// and nil for a value that was not finite.
type Rows []map[string]any

// ReadMetrics reads a metrics.jsonl, which a run may still be writing: a last
// line without its end is left out.
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

// Sum is the sum of a metric over the rows that have it. A null counts as 0.
func (rows Rows) Sum(name string) float64 {
	sum := 0.0
	for _, row := range rows {
		v, _ := row[name].(float64)
		sum += v
	}
	return sum
}
