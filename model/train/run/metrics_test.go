package run

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadMetricsNamesTheBadLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	write(t, path, "{\"step\":1,\"reward\":0.5}\n{\"step\":2,\"reward\":null}\n")
	rows, err := ReadMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Rows{{"step": 1.0, "reward": 0.5}, {"step": 2.0, "reward": nil}}, rows); diff != "" {
		t.Error(diff)
	}
	write(t, path, "{\"step\":1}\n{\"step\":2,\"rew") // the run is still writing the last line
	if rows, err := ReadMetrics(path); err != nil || len(rows) != 1 {
		t.Errorf("%d rows of 1, %v", len(rows), err)
	}
	write(t, path, "{\"step\":1}\n{\"step\"\n")
	if _, err := ReadMetrics(path); err == nil || !strings.Contains(err.Error(), path+": line 2") {
		t.Errorf("error is %v", err)
	}
}

func TestMaxIsOverTheRowsThatHaveTheMetric(t *testing.T) {
	for _, c := range []struct {
		rows Rows
		want float64
		ok   bool
	}{
		{Rows{{"a": -3.0}, {"b": 9.0}, {"a": -2.0}}, -2, true},
		{Rows{{"a": 1.0}, {"a": nil}, {"a": 2.0}}, math.NaN(), true},
		{Rows{{"b": 9.0}}, 0, false},
		{nil, 0, false},
	} {
		got, ok := c.rows.Max("a")
		if ok != c.ok || got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%v: %g, %v; want %g, %v", c.rows, got, ok, c.want, c.ok)
		}
	}
}

func TestSumLeavesOutMissingValues(t *testing.T) {
	rows := Rows{{"a": 1.5}, {"a": nil}, {"b": 7.0}, {"a": 2.0}}
	if got := rows.Sum("a"); got != 3.5 {
		t.Errorf("sum %g, want 3.5", got)
	}
}
