package lab

import (
	"strings"

	"github.com/aha-go/aha/model/train/run"
)

// loads returns the experts' loads of a row of metrics, by metric name.
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

// ReadBalance computes the balance of the experts from a metrics file.
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
