package rl

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The log is opened by a run that has made two steps. Lines of step 2 and later are used for
// the steps that follow.
func TestDamagedLogOfVerdictsIsMendedAndSaid(t *testing.T) {
	line := func(steps ...int) string {
		var b strings.Builder
		for _, s := range steps {
			fmt.Fprintf(&b, `{"version":1,"step":%d,"rollout":"r%d"}`+"\n", s, s)
		}
		return b.String()
	}
	const round = `{"version":1,"step":2,"round":1,"rollout":"r2"}` + "\n"
	const zeros = "\x00\x00\x00"
	for _, c := range []struct {
		name, before, after string
		ahead               []int
		said                []string
	}{
		{"whole", line(0, 1, 2, 3), line(0, 1, 2, 3), []int{2, 3}, nil},
		{"torn", line(0, 1, 2) + `{"ver`, line(0, 1, 2), []int{2},
			[]string{"line 4: no newline at its end: removed, steps from 3 on are scored anew"}},
		{"torn before the step", line(0) + `{"ver`, line(0), nil,
			[]string{"line 2: no newline at its end: removed, steps from 2 on"}},
		{"damaged ahead", line(0, 1) + zeros + line(2, 3), line(0, 1), nil, []string{"line 3: invalid character"}},
		{"damaged further ahead", line(0, 1, 2) + zeros + line(3, 4), line(0, 1, 2), []int{2},
			[]string{"line 4: invalid character"}},
		{"damaged behind", line(0) + zeros + line(1, 2, 3), line(0) + zeros + line(1, 2, 3), []int{2, 3},
			[]string{"line 2: invalid character"}},
		{"both", zeros + line(0, 1, 2) + zeros, zeros + line(0, 1, 2), []int{2}, []string{"line 1: ", "line 4: "}},
		{"torn in a round", line(0, 1, 2) + round + `{"ver`, line(0, 1, 2) + round, []int{2},
			[]string{"line 5: no newline at its end: removed, steps from 2 on are scored anew"}},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "verdicts.jsonl")
		if err := os.WriteFile(path, []byte(c.before), 0o666); err != nil {
			t.Fatal(err)
		}
		l, repairs, err := openVerdictLog(dir, 2, strings.Contains(c.before, "round"))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := slices.Sorted(maps.Keys(l.ahead)); !slices.Equal(got, c.ahead) {
			t.Errorf("%s: verdicts of steps %v, want %v", c.name, got, c.ahead)
		}
		if len(repairs) != len(c.said) {
			t.Errorf("%s: repairs %v, want %q", c.name, repairs, c.said)
			continue
		}
		for i, r := range repairs {
			if !strings.Contains(r.Error(), c.said[i]) {
				t.Errorf("%s: repair %q, want %q", c.name, r, c.said[i])
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.after {
			t.Errorf("%s: %v, left\n%q, want\n%q", c.name, err, text, c.after)
		}
	}
}
