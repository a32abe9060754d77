package train

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// metricLines returns the lines of a metrics file for the given steps.
func metricLines(steps ...int) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, `{"loss":0.5,"moe/1/load":[1,2],"step":%d,"step_time":0}`+"\n", s)
	}
	return b.String()
}

// openMetrics opens a metrics file with the given text to continue after the given step,
// and returns what is logged about it.
func openMetrics(t *testing.T, text string, step int) (f *metricsFile, path, logged string, err error) {
	t.Helper()
	var log strings.Builder
	tr := newRun(t, AdamW{LR: 1e-3}, t.TempDir(), 6)
	tr.Log = slog.New(slog.NewTextHandler(&log, nil))
	path = filepath.Join(tr.Dir, "metrics.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err = tr.openMetrics(step)
	return f, path, log.String(), err
}

func TestMetricsFileIsCutBackToTheResumedStep(t *testing.T) {
	const zeros = "\x00\x00\x00\x00"
	for _, c := range []struct {
		before  string
		step    int
		want    string
		damaged string // what is logged about a damaged line
	}{
		{"", 0, metricLines(1), ""},
		{metricLines(1, 2, 3), 0, metricLines(1), ""},
		{metricLines(1, 2, 3), 2, metricLines(1, 2, 3), ""},
		{metricLines(1, 2, 3, 4, 5), 2, metricLines(1, 2, 3), ""},
		{metricLines(1, 2) + `{"loss":0.`, 2, metricLines(1, 2, 3), "line 3: no newline at its end"},
		{metricLines(1, 2) + zeros, 2, metricLines(1, 2, 3), "line 3: no newline at its end"},
		{metricLines(1, 2) + zeros + metricLines(4, 5), 2, metricLines(1, 2, 3), "line 3: invalid character"},
		{`{"loss":` + metricLines(1, 2), 0, metricLines(1), "line 1: unexpected end"},
	} {
		f, path, logged, err := openMetrics(t, c.before, c.step)
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(logged, "WARN") && strings.Contains(logged, path) && strings.Contains(logged,
			c.damaged); said != (c.damaged != "") {
			t.Errorf("%q: logged %q, want %q in it", c.before, logged, c.damaged)
		}
		err = errors.Join(f.Write(Metrics{Step: c.step + 1, Values: map[string]float64{"loss": 0.5},
			Loads: map[string][]int{"moe/1/load": {1, 2}}}), f.Close())
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != c.want {
			t.Errorf("after step %d: %v\n%s\nwant\n%s", c.step, err, got, c.want)
		}
	}
}

// A damaged line of a step that is not repeated cannot be rewritten, so it is an error.
func TestDamagedMetricsOfMadeStepsAreRefused(t *testing.T) {
	for damaged, want := range map[string]string{
		"{}\n":                                 "line 1: it has no step",
		"not JSON\n" + metricLines(2, 3, 4, 5): "line 1: ",
		metricLines(1, 2) + "\x00" + metricLines(4, 5): "line 3: ",
	} {
		_, path, _, err := openMetrics(t, damaged, 5)
		if err == nil || !strings.Contains(err.Error(), path+": "+want) {
			t.Errorf("%q: error is %v, want %q", damaged, err, want)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != damaged {
			t.Errorf("%q: changed to %q, %v", damaged, text, err)
		}
	}
}

// A missing line of a step that was made is logged.
func TestMissingMetricsOfMadeStepsAreSaid(t *testing.T) {
	for _, c := range []struct{ before, want, missing string }{
		{"", "", "1 to 5"},
		{metricLines(1, 2, 3, 4), metricLines(1, 2, 3, 4), "5"},
		{metricLines(1, 2, 3, 4) + `{"loss":0.`, metricLines(1, 2, 3, 4), "5"},
		{"\x00\x00", "", "1 to 5"},
		{metricLines(1, 3, 6), metricLines(1, 3), "2, 4 to 5"},
		{metricLines(1, 2, 2, 1, 2, 3, 4, 5), metricLines(1, 2, 2, 1, 2, 3, 4, 5), ""},
		{strings.ReplaceAll(metricLines(1, 2, 3, 4, 5), "\n", "\r\n"), strings.ReplaceAll(metricLines(1, 2, 3, 4, 5),
			"\n", "\r\n"), ""},
	} {
		f, path, logged, err := openMetrics(t, c.before, 5)
		if err != nil {
			t.Errorf("%q: %v", c.before, err)
			continue
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.want {
			t.Errorf("%q: changed to %q, %v", c.before, text, err)
		}
		const lacks = "metrics file has no lines for completed steps"
		if said := strings.Contains(logged, lacks); said != (c.missing != "") ||
			said && !strings.Contains(logged, "steps="+c.missing) && !strings.Contains(logged, `steps="`+c.missing+`"`) {
			t.Errorf("%q: logged %q, want steps %q", c.before, logged, c.missing)
		}
	}
}
