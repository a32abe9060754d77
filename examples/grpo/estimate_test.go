package main

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/model/train"
)

func TestEstimateCountsWhatRemains(t *testing.T) {
	for _, c := range []struct {
		step, steps, problems, every int
		took, evaluation             time.Duration
		want                         string
	}{
		{1, 100, 0, 0, 12300 * time.Millisecond, 0,
			"step 1 took 12 s; at this rate the remaining 99 steps take about 20 min\n"},
		{1, 100, 64, 0, 12300 * time.Millisecond, 40 * time.Second,
			"step 1 took 12 s; at this rate the remaining 99 steps take about 20 min, and 1 evaluation about 40 s\n"},
		{1, 100, 64, 10, 5 * time.Minute, 40 * time.Second,
			"step 1 took 5 min; at this rate the remaining 99 steps take about 8.2 h, and 11 evaluations about 7 min\n"},
		{1, 4, 64, 1, time.Second, time.Second, // the evaluation of step 1 was before
			"step 1 took 1 s; at this rate the remaining 3 steps take about 3 s, and 4 evaluations about 4 s\n"},
		{8, 10, 64, 4, time.Millisecond, 0, // resumed
			"step 8 took 0.001 s; at this rate the remaining 2 steps take about 0.002 s, not counting 1 evaluation\n"},
		{9, 10, 64, 2, time.Second, 0,
			"step 9 took 1 s; at this rate the remaining 1 step takes about 1 s, not counting 2 evaluations\n"},
		{10, 10, 64, 2, time.Second, time.Second, ""},
	} {
		config := config{Steps: c.steps, EvalProblems: c.problems, EvalEvery: c.every}
		if got := config.estimate(train.Metrics{Step: c.step, Time: c.took}, c.evaluation); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// A run prints its estimate once, after its first step; so does a resumed one.
func TestTimeIsEstimatedOnce(t *testing.T) {
	dir, data, out := tinyModel(t), sums(t), t.TempDir()
	const first, one = `^step 1 took \S+ s; at this rate the remaining 4 steps take about \S+ s`, ` about \S+ s\n$`
	for _, c := range []struct {
		out  string
		more []string
		want string
	}{
		{t.TempDir(), []string{"-steps", "1"}, ""},
		{t.TempDir(), []string{"-steps", "5", "-eval-problems", "0"}, first + `\n$`},
		{t.TempDir(), []string{"-steps", "5", "-eval-every", "2"}, first + `, and 3 evaluations` + one},
		{out, []string{"-steps", "5", "-save-every", "3"}, first + `, and 1 evaluation` + one},
		{out, []string{"-steps", "5", "-save-every", "3", "-resume"}, // from step 3
			`^step 4 took \S+ s; at this rate the remaining 1 step takes about \S+ s, not counting 1 evaluation\n$`},
	} {
		must(t, os.RemoveAll(filepath.Join(c.out, runFolder, "step-000005")))
		text, _ := mustRun(t, short(dir, data, c.out, c.more...)...)
		got := strings.Join(regexp.MustCompile(`.* at this rate .*\n`).FindAllString(text, -1), "")
		if !regexp.MustCompile(cmp.Or(c.want, "^$")).MatchString(got) {
			t.Errorf("%v: estimate %q, want %s\n%s", c.more, got, c.want, text)
		}
	}
}
