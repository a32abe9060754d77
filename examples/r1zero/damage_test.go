package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train/run"
	"github.com/aha-go/aha/rl/reward"
)

// truncate removes the last byte of the weights file of a checkpoint.
func truncate(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, checkpoint.SingleFile)
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// flip flips one bit in the middle of the optimizer state of a checkpoint.
func flip(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "optimizer.safetensors")
	text, err := os.ReadFile(path)
	if err == nil {
		text[len(text)/2] ^= 1
		err = os.WriteFile(path, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDamagedCheckpointFallsBackToTheOneBefore(t *testing.T) {
	out := clone(t)
	base := flip(t, newest(t, filepath.Join(out, "base")))
	grpo := truncate(t, newest(t, filepath.Join(out, "grpo")))
	o, result := must(t, out, "-resume")
	for _, path := range []string{base, grpo} {
		if !strings.Contains(o.stdout, path) {
			t.Errorf("the output does not mention %s:\n%s", path, o.stdout)
		}
	}
	wantUndisturbed(t, "newest checkpoints damaged", out, result)
	if _, err := checkpoint.Verify(filepath.Dir(grpo)); err != nil {
		t.Errorf("the damaged checkpoint was not replaced: %v", err)
	}
}

func TestTornRecordsAreMendedAndSaid(t *testing.T) {
	out := clone(t)
	names := []string{"base/metrics.jsonl", "grpo/metrics.jsonl", "grpo/verdicts.jsonl"}
	for _, name := range names {
		path := filepath.Join(out, name)
		if err := os.WriteFile(path, []byte(read(t, path)+`{"loss":0.`), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	o, result := must(t, out, "-resume")
	for _, name := range names {
		if !strings.Contains(o.stdout, filepath.Join(out, name)+` damage="line 4: no newline at its end`) {
			t.Errorf("the output does not mention %s:\n%s", name, o.stdout)
		}
	}
	wantUndisturbed(t, "torn records", out, result)
}

func TestNothingButDamagedCheckpointsIsAnError(t *testing.T) {
	out := clone(t)
	steps, err := filepath.Glob(filepath.Join(out, "grpo", "step-*"))
	if err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	var sizes []int64
	for _, step := range steps {
		info, err := os.Stat(truncate(t, step))
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	o := finish(t, command(t, "-out", out, "-resume"))
	if o.code != 1 || !strings.Contains(o.stderr, "no complete checkpoint") {
		t.Errorf("exit code %d, %s", o.code, o.stderr)
	}
	for i, step := range steps {
		path := filepath.Join(step, checkpoint.SingleFile)
		if info, err := os.Stat(path); err != nil || info.Size() != sizes[i] || !strings.Contains(o.stderr, path) {
			t.Errorf("%s: changed (%v), or not named in %s", path, err, o.stderr)
		}
	}
}

// badReward is an environment variable: if it is set, some calls of the reward function panic
// and others hang.
const badReward = "R1ZERO_TEST_BAD_REWARD"

func faultySuite(score func(context.Context, reward.Sample) reward.Verdict) *reward.Suite {
	return &reward.Suite{
		Timeout: 100 * time.Millisecond, MaxAbandoned: 1000,
		Funcs: []reward.Func{{Name: "countdown", Score: func(ctx context.Context, s reward.Sample) reward.Verdict {
			switch len(s.Completion) % 4 {
			case 1:
				panic("a bug in the verifier")
			case 2:
				select {}
			}
			return score(ctx, s)
		}}},
	}
}

func TestRewardThatPanicsOrHangsBecomesAVerdict(t *testing.T) {
	out := t.TempDir()
	c := command(t, "-json", "-out", out)
	c.Env = append(c.Env, badReward+"=1")
	o, _ := mustFinish(t, c)
	rows, err := run.ReadMetrics(filepath.Join(out, "grpo", "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []reward.Status{reward.Error, reward.Timeout, reward.Correct} {
		if rows.Sum(reward.MetricStatus("countdown", status)) == 0 {
			t.Errorf("no verdict is %v", status)
		}
	}
	if !strings.Contains(o.stdout, "ALARM") || !strings.Contains(o.stdout, "rewards failed") {
		t.Errorf("no alarm in\n%s", o.stdout)
	}
}
