package main

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// kills is raised by .ci/soak.
var kills = flag.Int("kills", 4, "how many times the test of killed runs kills one")

// The phases of a run, as its folder shows them.
const (
	inBase       = "base training"
	inEvaluation = "evaluation"
	inRollout    = "rollout"
	inUpdate     = "update"
	inCheckpoint = "checkpoint"
	inBetween    = "start or end"
)

// phase is what the run in out is doing.
func phase(out string) string {
	if unfinished, _ := filepath.Glob(filepath.Join(out, "*", ".step-*")); len(unfinished) > 0 {
		return inCheckpoint
	}
	trained, started := lines(out, "base", "metrics.jsonl")
	judged, sampling := lines(out, "grpo", "verdicts.jsonl")
	learned, _ := lines(out, "grpo", "metrics.jsonl")
	switch {
	case !started:
		return inBetween
	case trained < tiny.BaseSteps:
		return inBase
	case !sampling:
		return inEvaluation
	case judged > learned:
		return inUpdate
	case judged < tiny.RLSteps:
		return inRollout
	}
	return inBetween
}

// lines counts the lines of a file that may not be there yet.
func lines(elem ...string) (n int, exists bool) {
	text, err := os.ReadFile(filepath.Join(elem...))
	return bytes.Count(text, []byte{'\n'}), err == nil
}

// killed starts a run in out and kills it at the given delay after it has entered
// the phase for the n-th time. It returns the phase in which that was, or "" if
// the run had ended before.
func killed(t *testing.T, c *exec.Cmd, out, target string, n int, delay time.Duration) (at string) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	var kill <-chan time.Time
	was := ""
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v: %v", c.Args[1:], err)
			}
			return ""
		case <-kill:
			at = phase(out)
			if err := c.Process.Kill(); err != nil && err != os.ErrProcessDone {
				t.Fatal(err)
			}
			<-done
			return at
		case <-time.After(200 * time.Microsecond):
		}
		now := phase(out)
		if now != was && now == target {
			if n--; n == 0 {
				kill = time.After(delay)
			}
		}
		was = now
	}
}

// A run is killed one to three times, at moments spread over all that it does,
// and then resumed.
func TestKilledRunsEndWithTheSameWeights(t *testing.T) {
	reference(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	targets := []string{inBase, inRollout, inUpdate, inCheckpoint}
	want := *kills
	if testing.Short() {
		want = 1
	}
	runs, made, at := 0, 0, map[string]int{}
	for made < want {
		out := t.TempDir()
		args := []string{"-out", out}
		what := fmt.Sprintf("seed %d, run %d, killed", seed, runs)
		for range 1 + random.IntN(3) {
			target := targets[made%len(targets)]
			// Half a millisecond to a quarter of a second.
			delay := time.Duration(float64(time.Millisecond) * math.Pow(2, 9*random.Float64()-1))
			was := killed(t, command(t, args...), out, target, 1+random.IntN(2), delay)
			if was == "" {
				break
			}
			made++
			at[was]++
			what += fmt.Sprintf(", %v after the beginning of %s: in %s", delay, target, was)
			args = []string{"-out", out, "-resume"}
		}
		_, result := must(t, out, "-resume")
		wantUndisturbed(t, what, out, result)
		os.RemoveAll(out)
		runs++
	}
	t.Logf("seed %d: %d runs of %v killed %d times: %v", seed, runs, undisturbed.took.Round(time.Millisecond), made, at)
	for _, target := range targets {
		if want >= 40 && at[target] == 0 {
			t.Errorf("no kill hit %s", target)
		}
	}
}
