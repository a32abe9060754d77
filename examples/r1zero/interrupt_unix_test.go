//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSignalsSaveAndSayHowToGoOn(t *testing.T) {
	reference(t)
	for s, c := range map[os.Signal]struct {
		name string
		code int
	}{os.Interrupt: {"SIGINT", 130}, syscall.SIGTERM: {"SIGTERM", 143}} {
		t.Run(c.name, func(t *testing.T) { stopTwice(t, s, c.name, c.code) })
	}
}

// stopTwice stops a run by a signal in each of its two phases, resumes it, and checks the result.
func stopTwice(t *testing.T, s os.Signal, name string, code int) {
	out := t.TempDir()
	args := []string{"-out", out}
	evaluating := `evaluation stopped, the training so far is saved`
	for _, phase := range []struct{ sign, training string }{
		{"base/step-*", `base model: train: stopped after step \d, saved in OUT/base`},
		{"grpo/step-*", `rl: stopped after step \d, saved in OUT/grpo`},
	} {
		c := command(t, args...)
		var stderr strings.Builder
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for range 6000 {
			if seen, _ := filepath.Glob(filepath.Join(out, filepath.FromSlash(phase.sign))); len(seen) > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		want := strings.NewReplacer("OUT", regexp.QuoteMeta(out), "NAME", name).Replace(
			"^r1zero: NAME: stopping; a second signal ends the process at once\n" +
				"r1zero: (" + phase.training + "|" + evaluating + "): NAME; the same command with -resume continues\n$")
		if got := c.ProcessState.ExitCode(); got != code || !regexp.MustCompile(want).MatchString(stderr.String()) {
			t.Errorf("%s at %s: exit code %d, %q; want %d, %s", name, phase.sign, got, stderr.String(), code, want)
		}
		args = []string{"-out", out, "-resume"}
	}
	_, result := must(t, out, "-resume")
	wantUndisturbed(t, "stopped twice by "+name, out, result)
}
