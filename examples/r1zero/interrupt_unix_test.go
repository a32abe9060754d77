//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInterruptSavesAndSaysHowToGoOn(t *testing.T) {
	reference(t)
	out := t.TempDir()
	args := []string{"-out", out}
	for _, sign := range []string{"base/step-*", "grpo/step-*"} {
		c := command(t, args...)
		var stderr strings.Builder
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for range 6000 {
			if seen, _ := filepath.Glob(filepath.Join(out, filepath.FromSlash(sign))); len(seen) > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		if code := c.ProcessState.ExitCode(); code != 130 || stderr.String() != "r1zero: interrupted; the same command with -resume continues\n" {
			t.Errorf("interrupted at %s: exit code %d, %q", sign, code, stderr.String())
		}
		args = []string{"-out", out, "-resume"}
	}
	_, result := must(t, out, "-resume")
	wantUndisturbed(t, "interrupted twice", out, result)
}
