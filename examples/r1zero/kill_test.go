package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// killed starts r1zero and kills it after the delay or as soon as the sign is
// given. It reports whether the run had ended before.
func killed(t *testing.T, c *exec.Cmd, delay time.Duration, sign func() bool) (ended bool) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	deadline := time.After(delay)
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v: %v", c.Args[1:], err)
			}
			return true
		case <-deadline:
		case <-time.After(200 * time.Microsecond):
			if !sign() {
				continue
			}
		}
		if err := c.Process.Kill(); err != nil && err != os.ErrProcessDone {
			t.Fatal(err)
		}
		<-done
		return false
	}
}

func never() bool { return false }

// The moments of the kills are spread over the whole run, each in a run that may
// be killed again.
func TestKilledRunsEndWithTheSameWeights(t *testing.T) {
	reference(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	runs, budget := 8, 15*time.Second
	if testing.Short() {
		runs, budget = 1, 0
	}
	began, kills := time.Now(), 0
	for i, part := range random.Perm(runs) {
		if i > 1 && time.Since(began) > budget {
			runs = i
			break
		}
		out := t.TempDir()
		args := []string{"-out", out}
		what := fmt.Sprintf("seed %d, run %d, killed after", seed, i)
		share := (float64(part) + random.Float64()) / float64(runs)
		for range 3 {
			delay := time.Duration(share * float64(undisturbed.took))
			if killed(t, command(t, args...), delay, never) {
				break
			}
			kills++
			what += fmt.Sprint(" ", delay)
			args = []string{"-out", out, "-resume"}
			share = 0.8 * random.Float64()
		}
		_, result := must(t, out, "-resume")
		wantUndisturbed(t, what, out, result)
	}
	t.Logf("seed %d: %d runs killed %d times", seed, runs, kills)
}

// A checkpoint is a small part of a run's time, so its writing is waited for.
func TestRunsKilledWhileTheySaveEndWithTheSameWeights(t *testing.T) {
	reference(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	out := t.TempDir()
	args, what := []string{"-out", out}, fmt.Sprintf("seed %d, killed in a save of", seed)
	for _, phase := range []string{"base", "grpo"} {
		var since time.Time
		wait := time.Duration(random.IntN(60)) * time.Millisecond
		saving := func() bool {
			unfinished, err := filepath.Glob(filepath.Join(out, phase, ".step-*"))
			if err != nil {
				t.Fatal(err)
			}
			if since.IsZero() && len(unfinished) > 0 {
				since = time.Now()
			}
			return !since.IsZero() && time.Since(since) >= wait
		}
		if killed(t, command(t, args...), time.Minute, saving) {
			t.Errorf("seed %d: the run saved nothing in %s", seed, phase)
		}
		what += fmt.Sprintf(" %s after %v", phase, wait)
		args = []string{"-out", out, "-resume"}
	}
	_, result := must(t, out, "-resume")
	wantUndisturbed(t, what, out, result)
}
