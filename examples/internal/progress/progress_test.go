package progress

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineShowsCountRateAndTimeLeft(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, 4, "base", "steps")
	b.Add(1)
	b.Describe("base loss 0.5")
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
	b := on(&out, 10, "base", "steps")
	b.Add(1)
	b.Close()
	b.Close()
	b.Add(1)
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
		t.Errorf("want one line break, at the end: %q", got)
	}
}

// output runs f with a file as standard error and returns what was written to it.
func output(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = file
	f()
	os.Stderr = stderr
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNullDeviceIsNoTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	stderr := os.Stderr
	defer func() { os.Stderr = stderr }()
	os.Stderr = null
	b := New(3, "base", "steps")
	defer b.Close()
	if b.lines == nil {
		t.Error("a bar is drawn on the null device")
	}
}

func TestShortWorkSaysNothingOffATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := output(t, func() {
			b := New(3, "base", "steps")
			b.Add(2)
			b.Describe("still base")
			time.Sleep(29 * time.Second)
			b.Add(1)
			b.Close()
			time.Sleep(time.Hour)
		})
		if got != "" {
			t.Errorf("wrote %q to a file", got)
		}
	})
}

func TestLongWorkWritesALineEvery30SecondsOffATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := output(t, func() {
			b := New(2010, "base", "steps")
			defer b.Close()
			b.Skip(10) // of a resumed run
			time.Sleep(31 * time.Second)
			b.Add(300)
			b.Describe("base, loss 2.5")
			time.Sleep(30 * time.Second) // at 60 s: 5 steps/s, 1700 left
			b.Add(1500)                  // at 90 s: 20 steps/s, 200 left
			time.Sleep(30 * time.Second)
			b.Add(200)
		})
		want := "base: 0/2000 steps after 30s\n" +
			"base, loss 2.5: 300/2000 steps, 5 steps/s, 5m40s left\n" +
			"base, loss 2.5: 1800/2000 steps, 20 steps/s, 10s left\n"
		if got != want {
			t.Errorf("wrote\n%swant\n%s", got, want)
		}
	})
}

func TestWatchedWorkWritesLinesOffATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := output(t, func() {
			progress, end := Watch("evaluating", "problems")
			defer end()
			progress(0, 512)
			time.Sleep(20 * time.Second)
			progress(128, 512)
			time.Sleep(20 * time.Second)
			progress(512, 512)
			time.Sleep(time.Hour)
		})
		if want := "evaluating: 128/512 problems, 4.27 problems/s, 1m30s left\n"; got != want {
			t.Errorf("wrote %q, want %q", got, want)
		}
	})
}

func TestLineOnWhichNothingWasDoneDisappears(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, 10, "base", "steps")
	b.Close()
	got := out.String()
	if last := got[strings.LastIndex(strings.TrimRight(got, "\r"), "\r")+1:]; strings.TrimSpace(last) != "" ||
		strings.Contains(got, "\n") {
		t.Errorf("the terminal still shows %q of %q", last, got)
	}
}

func TestResumedRunCountsWhatIsLeft(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, 10, "base", "steps")
	b.Skip(7)
	b.Add(3)
	b.Close()
	if got := out.String(); !strings.Contains(got, "(3/3,") || !strings.Contains(got, "100%") {
		t.Errorf("the line does not end with 3 of 3: %q", got)
	}
}

func TestPrintingLeavesTheLineBelow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terminal")
	terminal, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = terminal
	defer func() { os.Stdout = stdout }()
	b := on(terminal, 2, "base", "steps")
	for step := range 2 {
		b.Add(1)
		fmt.Fprintf(b, "step ")
		fmt.Fprintf(b, "%d\n", step+1)
	}
	b.Close()
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The terminal shows the part of each line after the last carriage return.
	var seen []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		seen = append(seen, strings.TrimSpace(line[strings.LastIndex(line, "\r")+1:]))
	}
	if len(seen) != 3 || seen[0] != "step 1" || seen[1] != "step 2" || !strings.HasPrefix(seen[2], "base 100%") {
		t.Errorf("the terminal shows %q", seen)
	}
}
