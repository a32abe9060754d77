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

// kills is the number of kills; .ci/soak sets a higher number.
var kills = flag.Int("kills", 4, "how many times the test of killed runs kills a run")

// The phases of a run, which phase determines from the files in its folder.
const (
	inBase       = "base training"
	inEvaluation = "evaluation"
	inRollout    = "rollout"
	inUpdate     = "update"
	inCheckpoint = "checkpoint"
	inBetween    = "start or end"
)

// phase returns the phase in which the run in out is.
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

// lines counts the lines of a file, which may not exist yet.
func lines(elem ...string) (n int, exists bool) {
	text, err := os.ReadFile(filepath.Join(elem...))
	return bytes.Count(text, []byte{'\n'}), err == nil
}

// killed starts the run c in out. It kills the run at the given delay after the run has
// entered the phase target for the n-th time. It returns the phase in which the run was
// killed, or "" if the run ended before.
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

// Each run is killed one to three times, at random times in all phases, and then resumed.
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
			// The delay is between half a millisecond and a quarter of a second.
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
