package progress

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLineShowsCountRateAndTimeLeft(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, true, 4, "base", "steps")
	// The bar redraws no more often than every 100 ms, but it always draws the end.
	time.Sleep(150 * time.Millisecond)
	b.Add(1)
	b.Describe("base loss 0.5")
	time.Sleep(150 * time.Millisecond)
	b.Add(1)
	middle := out.String()
	b.Add(2)
	b.Close()
	for _, want := range []string{"base ", "base loss 0.5", "2/4", "steps/", ":"} {
		if !strings.Contains(middle, want) {
			t.Errorf("no %q in %q", want, middle)
		}
	}
	if got := out.String(); !strings.Contains(got, "4/4") || !strings.HasSuffix(got, "\n") {
		t.Errorf("the line does not end with 4/4 and a line break: %q", got)
	}
}

func TestClosingEarlyEndsTheLineOnce(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, true, 10, "base", "steps")
	b.Add(1)
	b.Close()
	b.Add(1)
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
		t.Errorf("want one line break, at the end: %q", got)
	}
}

func TestNothingIsShownOffATerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = f
	b := New(3, "base", "steps")
	b.Add(2)
	b.Describe("still base")
	b.Add(1)
	b.Close()
	os.Stderr = stderr
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || len(got) > 0 {
		t.Errorf("wrote %q to a file, error %v", got, err)
	}
}
