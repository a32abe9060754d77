package backend

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// OpStats are the measurements of the ops of one name.
type OpStats struct {
	Name  string
	Count int
	Time  time.Duration // wall time, queueing included
	Bytes int           // sizes of all operands; a broadcast one counts its elements once
}

// Profiler is a backend that measures every op. It waits for each op to end, so that each
// op is charged for its own time. On an asynchronous device the sum is therefore longer
// than a run without profiling.
type Profiler struct {
	Decorator
	stats map[string]*OpStats
}

// Profile returns a Profiler of b.
func Profile(b Backend) *Profiler {
	return &Profiler{Decorator: Decorator{b}, stats: map[string]*OpStats{}}
}

// Do runs op, waits for its end and adds it to the statistics. Ops that fail are not
// counted.
func (p *Profiler) Do(op Op) error {
	start := time.Now()
	if err := p.Backend.Do(op); err != nil {
		return err
	}
	if err := p.Backend.Sync(); err != nil {
		return err
	}
	took := time.Since(start)
	s := p.stats[op.Name()]
	if s == nil {
		s = &OpStats{Name: op.Name()}
		p.stats[s.Name] = s
	}
	s.Count++
	s.Time += took
	op.Operands(func(v *View, _ Access) { s.Bytes += v.footprint() })
	return nil
}

// Stats lists the ops by descending time, then by name.
func (p *Profiler) Stats() []OpStats {
	list := make([]OpStats, 0, len(p.stats))
	for _, s := range p.stats {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b OpStats) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Reset clears the statistics.
func (p *Profiler) Reset() { clear(p.stats) }

// String returns a table of Stats.
func (p *Profiler) String() string {
	stats := p.Stats()
	var total time.Duration
	for _, s := range stats {
		total += s.Time
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "op\tcount\ttime\t%\tper op\tGB/s\t")
	for _, s := range stats {
		seconds := max(s.Time, 1).Seconds()
		fmt.Fprintf(w, "%s\t%d\t%s\t%.1f\t%s\t%.2f\t\n", s.Name, s.Count, s.Time.Round(time.Microsecond),
			100*seconds/max(total, 1).Seconds(), (s.Time / time.Duration(s.Count)).Round(100*time.Nanosecond),
			float64(s.Bytes)/seconds/1e9)
	}
	w.Flush()
	return text.String()
}

// footprint returns the number of bytes of the distinct elements of v.
func (v *View) footprint() int {
	n := v.DType.Size()
	for i := range v.Rank {
		if v.Strides[i] != 0 || v.Shape[i] == 0 {
			n *= v.Shape[i]
		}
	}
	return n
}
