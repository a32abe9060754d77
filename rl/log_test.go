package rl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aha-go/aha/model"
	"github.com/aha-go/aha/rl/reward"
)

// readLines decodes a file of JSON lines.
func readLines[T any](t testing.TB, path string) []T {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for line := range bytes.Lines(text) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, v)
	}
	return all
}

func TestLogHoldsTheRollout(t *testing.T) {
	dir := t.TempDir()
	g := everything(t, dir, 2)
	g.LogGroups, g.Shuffle, g.Alarms.MinEntropy = 3, true, 100 // nats: an alarm in each step
	g.OnAlarm = func(int, []string) {}
	var report bytes.Buffer
	g.Report = &report
	var rollouts []*Rollout
	g.OnRollout = func(r *Rollout) { rollouts = append(rollouts, r) }
	mustRun(t, g)
	lines := readLines[samplesLine](t, filepath.Join(dir, "samples.jsonl"))
	if len(lines) != 2 {
		t.Fatalf("%d lines of samples for 2 steps", len(lines))
	}
	for n, line := range lines {
		if line.Version != 1 || line.Step != n+1 || len(line.Groups) != 3 {
			t.Fatalf("line %d: version %d, step %d, %d groups", n, line.Version, line.Step, len(line.Groups))
		}
		r := rollouts[n]
		for i := range 3 * 4 {
			group := line.Groups[i/4]
			got, s := group.Samples[i%4], r.Samples[i]
			if group.Prompt != "go" || got.Text != s.Text || got.Tokens != len(s.IDs) ||
				got.Truncated != (s.Finish == model.Truncated) || got.InLoss != r.InLoss[i] ||
				!reflect.DeepEqual(got.Reward, r.Rewards[i]) ||
				!reflect.DeepEqual(got.Rewards, map[string]reward.Verdict{"sevens": r.Scores.Verdicts[0][i]}) ||
				math.Abs(got.Advantage-r.Advantages.Value[i]) > 1e-12 {
				t.Errorf("step %d, sample %d: logged %+v, drawn %+v", n, i, got, s)
			}
		}
	}
	for n, line := range readLines[alarmsLine](t, filepath.Join(dir, "alarms.jsonl")) {
		if line.Version != 1 || line.Step != n+1 || len(line.Alarms) == 0 || !strings.Contains(line.Alarms[0], "entropy") {
			t.Errorf("line %d of alarms: %+v", n, line)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "preflight.txt"))
	if err != nil || string(text) != report.String() || !strings.Contains(report.String(), "rewards/sevens") {
		t.Errorf("preflight.txt: %v\n%s\nreported\n%s", err, text, &report)
	}
}

// A resumed run writes the same log as an uninterrupted one, even if the killed run has
// logged steps after its last checkpoint and an incomplete line.
func TestLogOfAResumedRunHasEachStepOnce(t *testing.T) {
	logs := func(dir string) string {
		var all []byte
		for _, name := range []string{"samples.jsonl", "alarms.jsonl"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		return string(all)
	}
	begin := func(dir string, steps int) *GRPO {
		g := everything(t, dir, steps)
		g.Alarms.MinEntropy, g.OnAlarm = 100, func(int, []string) {}
		return g
	}
	whole := t.TempDir()
	mustRun(t, begin(whole, 4))
	killed := t.TempDir()
	g := begin(killed, 4)
	mustStep(t, g)
	if err := g.Trainer.Save(); err != nil {
		t.Fatal(err)
	}
	mustStep(t, g)
	for _, name := range []string{"samples.jsonl", "alarms.jsonl"} {
		f, err := os.OpenFile(filepath.Join(killed, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, `{"version":1,"st`)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	g.Trainer.Close()
	mustRun(t, begin(killed, 4))
	if got, want := logs(killed), logs(whole); got != want || strings.Count(got, "\n") != 8 {
		t.Errorf("the resumed run wrote\n%s\nthe uninterrupted one\n%s", got, want)
	}
}

func TestAFailedWriteOfTheLogEndsTheRun(t *testing.T) {
	g := everything(t, t.TempDir(), 3)
	g.OnRollout = func(r *Rollout) {
		if r.Step == 1 {
			g.log.samples.Close()
		}
	}
	err := g.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "samples.jsonl") || g.StepCount() != 1 {
		t.Errorf("after step %d: %v", g.StepCount(), err)
	}
}
