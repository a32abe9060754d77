// Package progress shows how far a long run has come: a line with rate and time
// left, drawn again and again on a terminal and written every 30 seconds anywhere
// else.
package progress

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar is a progress line. It is used by one goroutine.
type Bar struct {
	bar    *progressbar.ProgressBar
	lines  *lines    // nil on a terminal
	out    io.Writer // where Close ends the line; io.Discard if there is none
	what   string
	done   int
	closed bool
	// stepped is set by Step.
	stepped bool
	text    []byte // handed to Write, of a line without its end
}

// New starts a line on standard error for total ≥ 1 units of work, such as
// "steps", with what before it. If standard error is not a terminal, nothing is
// shown of work shorter than 30 seconds.
func New(total int, what, units string) *Bar {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return on(os.Stderr, total, what, units)
	}
	return off(os.Stderr, total, what, units)
}

// on is New for a terminal.
func on(out io.Writer, total int, what, units string) *Bar {
	return &Bar{out: out, what: what, bar: newBar(out, true, total, what, units)}
}

// off is New for anything else.
func off(out io.Writer, total int, what, units string) *Bar {
	return &Bar{
		out: io.Discard, what: what, bar: newBar(io.Discard, false, total, what, units),
		lines: newLines(out, total, what, units),
	}
}

func newBar(out io.Writer, visible bool, total int, what, units string) *progressbar.ProgressBar {
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString(units),
		progressbar.OptionShowIts(),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionShowElapsedTimeOnFinish(),
		progressbar.OptionSetWidth(20),
		progressbar.OptionSetRenderBlankState(true), // starts the clock before the first Add
	)
}

// Add counts n more units as done. That the line cannot be written is no reason
// to stop a run, so there is no error; the same holds for the other methods.
func (b *Bar) Add(n int) {
	b.done += n
	_ = b.bar.Add(n)
	if b.lines != nil {
		b.lines.update(func(l *lines) { l.count += n })
	}
}

// Skip takes n units off the total: a resumed run counts only what it has still
// to do, so that rate and time left are its own.
func (b *Bar) Skip(n int) {
	if n <= 0 {
		return
	}
	b.bar.ChangeMax(b.bar.GetMax() - n)
	if b.lines != nil {
		b.lines.update(func(l *lines) { l.total -= n })
	}
}

// Step counts step of a run as done, the words before the bar becoming what. The first
// step that is not 1 is that of a resumed run: it says so, and counts what is left.
func (b *Bar) Step(step int, what string) {
	if !b.stepped && step > 1 {
		b.Skip(step - 1)
		fmt.Fprintf(b, "continued from the checkpoint of step %d\n", step-1)
	}
	b.stepped = true
	b.Describe(what)
	b.Add(1)
}

// Logger writes warnings above the bar, without their time.
func (b *Bar) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// Describe replaces the words before the bar, to show a loss, for example.
func (b *Bar) Describe(what string) {
	b.what = what
	b.bar.Describe(what)
	if b.lines != nil {
		b.lines.update(func(l *lines) { l.what = what })
	}
}

// Write prints to standard output, line by line, above the progress line.
func (b *Bar) Write(text []byte) (int, error) {
	b.text = append(b.text, text...)
	end := bytes.LastIndexByte(b.text, '\n') + 1
	if end == 0 {
		return len(text), nil
	}
	_ = b.bar.Clear()
	_, err := os.Stdout.Write(b.text[:end])
	b.text = append(b.text[:0], b.text[end:]...)
	if b.bar.IsFinished() {
		b.bar.Describe(b.what) // the one call that draws a finished bar again
	} else {
		_ = b.bar.RenderBlank()
	}
	return len(text), err
}

// Close ends the line where it stands, so that what is printed next begins a new
// one; a line on which nothing was done disappears. Call it by defer, since the
// run may stop early; a second call does nothing.
func (b *Bar) Close() {
	if b.closed {
		return
	}
	b.closed = true
	if b.lines != nil {
		b.lines.close()
	}
	_ = b.bar.Exit()
	if b.done == 0 {
		_ = b.bar.Clear()
		return
	}
	_, _ = io.WriteString(b.out, "\n")
}

// Watch returns a function that shows how many of all problems, prompts or other
// units are done. The line begins with its first call and ends when all are done,
// or with a call of end, for work that stops early.
func Watch(what, units string) (progress func(done, total int), end func()) {
	var bar *Bar
	end = func() {
		if bar != nil {
			bar.Close()
		}
	}
	return func(done, total int) {
		if bar == nil {
			bar = New(total, what, units)
		}
		bar.Add(done - bar.done)
		if done == total {
			end()
		}
	}, end
}
