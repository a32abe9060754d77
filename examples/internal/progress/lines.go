package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// period is the time between two lines and the time before the first.
const period = 30 * time.Second

// lines writes a line with the progress every period, for log files and other outputs
// that are not terminals.
type lines struct {
	out   io.Writer
	units string
	began time.Time
	stop  chan struct{}
	done  sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	what  string
	count int
	total int
}

// newLines starts a goroutine that writes the lines.
func newLines(out io.Writer, total int, what, units string) *lines {
	l := &lines{out: out, units: units, what: what, total: total, began: time.Now(), stop: make(chan struct{})}
	l.done.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				fmt.Fprintln(l.out, l.line(time.Since(l.began)))
			}
		}
	})
	return l
}

// line returns the text of the line after the given time: what, count and total, rate
// and time left.
func (l *lines) line(after time.Duration) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%s: %d/%d %s", l.what, l.count, l.total, l.units)
	if l.count == 0 {
		return fmt.Sprintf("%s after %v", text, after.Round(time.Second))
	}
	rate := float64(l.count) / after.Seconds()
	left := time.Duration(float64(l.total-l.count) / rate * float64(time.Second))
	return fmt.Sprintf("%s, %s %s/s, %v left", text, digits(rate), l.units, left.Round(time.Second))
}

// digits formats a rate with three digits or more.
func digits(rate float64) string {
	if rate >= 100 {
		return fmt.Sprintf("%.0f", rate)
	}
	return fmt.Sprintf("%.3g", rate)
}

// update calls change with the lock held, to change the content of the next line.
func (l *lines) update(change func(l *lines)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// close stops the goroutine; no line is written afterwards.
func (l *lines) close() {
	close(l.stop)
	l.done.Wait()
}
