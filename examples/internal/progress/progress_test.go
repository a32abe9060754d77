package progress

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLineShowsCountRateAndTimeLeft(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, true, 4, "base", "steps")
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

func TestLineOnWhichNothingWasDoneDisappears(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, true, 10, "base", "steps")
	b.Close()
	got := out.String()
	if last := got[strings.LastIndex(strings.TrimRight(got, "\r"), "\r")+1:]; strings.TrimSpace(last) != "" || strings.Contains(got, "\n") {
		t.Errorf("the terminal still shows %q of %q", last, got)
	}
}

func TestResumedRunCountsWhatIsLeft(t *testing.T) {
	var out bytes.Buffer
	b := on(&out, true, 10, "base", "steps")
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
	b := on(terminal, true, 2, "base", "steps")
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
	// Of each line, what follows the last return to its beginning is seen.
	var seen []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		seen = append(seen, strings.TrimSpace(line[strings.LastIndex(line, "\r")+1:]))
	}
	if len(seen) != 3 || seen[0] != "step 1" || seen[1] != "step 2" || !strings.HasPrefix(seen[2], "base 100%") {
		t.Errorf("the terminal shows %q", seen)
	}
}
