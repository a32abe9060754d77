// Package progress shows the progress of a long run with rate and time left: as a bar
// that is redrawn on a terminal, and as a line every 30 seconds elsewhere.
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

// Bar is a progress bar. It must be used by one goroutine at a time.
type Bar struct {
	bar    *progressbar.ProgressBar
	lines  *lines    // nil on a terminal
	out    io.Writer // where Close ends the line; io.Discard if there is no bar to end
	what   string
	done   int
	closed bool
	// stepped is set once Step was called.
	stepped bool
	text    []byte // incomplete line that Write has got so far
}

// New starts a progress bar on standard error for total ≥ 1 units of work, such as
// "steps"; what is the text before the bar. If standard error is not a terminal, work
// that takes less than 30 seconds shows nothing.
func New(total int, what, units string) *Bar {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return on(os.Stderr, total, what, units)
	}
	return off(os.Stderr, total, what, units)
}

// on implements New for a terminal.
func on(out io.Writer, total int, what, units string) *Bar {
	return &Bar{out: out, what: what, bar: newBar(out, true, total, what, units)}
}

// off implements New for other outputs.
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

// Add counts n more units as done. If the bar cannot be written, Add and the other
// methods ignore the error, since it is no reason to stop a run.
func (b *Bar) Add(n int) {
	b.done += n
	_ = b.bar.Add(n)
	if b.lines != nil {
		b.lines.update(func(l *lines) { l.count += n })
	}
}

// Skip subtracts n units from the total. A resumed run skips the units that it does not
// repeat, so that rate and time left are right.
func (b *Bar) Skip(n int) {
	if n <= 0 {
		return
	}
	b.bar.ChangeMax(b.bar.GetMax() - n)
	if b.lines != nil {
		b.lines.update(func(l *lines) { l.total -= n })
	}
}

// Step counts step as done and sets the text before the bar to what. If the first step is
// not 1, the run was resumed: Step prints that, and skips the steps before.
func (b *Bar) Step(step int, what string) {
	if !b.stepped && step > 1 {
		b.Skip(step - 1)
		fmt.Fprintf(b, "continued from the checkpoint of step %d\n", step-1)
	}
	b.stepped = true
	b.Describe(what)
	b.Add(1)
}

// Logger returns a logger that prints warnings above the bar, without the time.
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

// Describe replaces the text before the bar, for example to show the loss.
func (b *Bar) Describe(what string) {
	b.what = what
	b.bar.Describe(what)
	if b.lines != nil {
		b.lines.update(func(l *lines) { l.what = what })
	}
}

// Write prints complete lines to standard output, above the bar. It keeps an incomplete
// line for the next call.
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
		b.bar.Describe(b.what) // the only call that redraws a finished bar
	} else {
		_ = b.bar.RenderBlank()
	}
	return len(text), err
}

// Close ends the line of the bar, so that the next output begins on a new line. If no
// unit was done, it erases the bar. Call it by defer, since the run may stop early; a
// second call does nothing.
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

// Watch returns a function that shows how many of the total units, such as problems or
// prompts, are done. The bar starts with its first call and ends when all units are done
// or when end is called, for work that stops early.
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
