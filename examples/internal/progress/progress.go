// Package progress shows how far a long run has come: a line with rate and time
// left on a terminal, nothing anywhere else.
package progress

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bar is a progress line. Add and Describe may be called from several goroutines.
type Bar struct {
	bar *progressbar.ProgressBar
	out io.Writer // where Close ends the line; io.Discard if there is none
}

// New starts a line on standard error for total ≥ 1 units of work, such as
// "steps", with what before it. It shows nothing if standard error is not a
// terminal. A resumed run counts only the units it has still to do, so that rate
// and time left are its own.
func New(total int, what, units string) *Bar {
	if !isTerminal(os.Stderr) {
		return on(io.Discard, false, total, what, units)
	}
	return on(os.Stderr, true, total, what, units)
}

// on is New for any writer.
func on(out io.Writer, visible bool, total int, what, units string) *Bar {
	return &Bar{out: out, bar: progressbar.NewOptions(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString(units),
		progressbar.OptionShowIts(),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionShowElapsedTimeOnFinish(),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetRenderBlankState(true), // starts the clock before the first Add
	)}
}

// isTerminal reports whether f is a character device. The null device is one too,
// where a line does no harm.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Add counts n more units as done. That the line cannot be written is no reason
// to stop a run, so there is no error; the same holds for Describe and Close.
func (b *Bar) Add(n int) { _ = b.bar.Add(n) }

// Describe replaces the words before the bar, to show a loss, for example.
func (b *Bar) Describe(what string) { b.bar.Describe(what) }

// Close ends the line where it stands, so that what is printed next begins a new
// one. Call it once, by defer: the run may stop early.
func (b *Bar) Close() {
	_ = b.bar.Exit()
	_, _ = io.WriteString(b.out, "\n")
}
