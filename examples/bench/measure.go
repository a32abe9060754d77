package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aha-go/aha/backend"
	"github.com/aha-go/aha/backend/cpu"
)

// line is the result of one measurement.
type line struct {
	Workload  string  `json:"workload"`
	Shape     string  `json:"shape"`
	Part      string  `json:"part,omitempty"` // of a workload with several measurements
	Format    string  `json:"format"`
	Precision string  `json:"precision,omitempty"` // of activations and caches, omitted for f32
	Threads   int     `json:"threads"`
	Value     float64 `json:"value"` // median
	Unit      string  `json:"unit"`
	Limit     float64 `json:"limit"` // what the machine can do at best, in the same unit
	Share     float64 `json:"share"` // Value / Limit; Limit / Value if the unit is a time
	Bound     string  `json:"bound"` // what sets the limit: compute, read, or the shape of limits
	Seconds   float64 `json:"seconds"`
	Rounds    int     `json:"rounds"`          // number of rounds that Value is the median of
	Ratio     float64 `json:"ratio,omitempty"` // of moe: time over that of the dense layer
	Path      string  `json:"path"`            // kernel path
	// Memory is the bytes of weights, caches, activations and training state, as
	// computed before the run, if a whole model is measured.
	Memory int `json:"memory_bytes,omitempty"`
}

// bench is the state that the workloads share.
type bench struct {
	options
	precision backend.DType
	b         *cpu.CPU
	meter     *cpu.Meter
	threads   int
	emit      func(line) error
	last      *generation // model that the last task left for reuse; may be nil
}

// cost is the minimum of operations and of bytes read that some work needs.
type cost struct {
	f32, bf16, int8 float64 // operations that run at the machine's rate for that dtype
	bytes           float64 // read from memory
}

// operations returns the cost of n operations on weights of format f.
func operations(f format, n float64) cost {
	switch f {
	case f32:
		return cost{f32: n}
	case bf16, fp8: // E4M3 is widened to BF16
		return cost{bf16: n}
	default:
		return cost{int8: n}
	}
}

func (c cost) plus(d cost) cost {
	return cost{c.f32 + d.f32, c.bf16 + d.bf16, c.int8 + d.int8, c.bytes + d.bytes}
}

func (c cost) times(n float64) cost { return cost{c.f32 * n, c.bf16 * n, c.int8 * n, c.bytes * n} }

// seconds returns the time that the work takes at the machine's limits if it
// computes and reads at the same time, and which of the two takes longer.
func (c cost) seconds(l cpu.Limits) (least float64, bound string) {
	compute := 0.0
	for _, x := range []struct{ n, rate float64 }{{c.f32, l.F32}, {c.bf16, l.BF16}, {c.int8, l.Int8}} {
		if x.n > 0 {
			compute += x.n / x.rate
		}
	}
	read := 0.0
	if c.bytes > 0 {
		read = c.bytes / l.ReadBandwidth
	}
	if read > compute {
		return read, "read"
	}
	return compute, "compute"
}

// slice returns the time that a limit is measured for between two rounds.
func (o options) slice() time.Duration { return o.seconds() / 100 }

// probe measures the limits that c depends on. On a kernel path without BF16 or
// 8-bit dot products the float32 rate is the limit for those operations.
func (b *bench) probe(c cost) cpu.Limits {
	var l cpu.Limits
	if c.f32 > 0 || c.bf16 > 0 || c.int8 > 0 {
		l.F32 = b.meter.F32(b.slice())
	}
	if c.bf16 > 0 {
		l.BF16 = cmp.Or(b.meter.BF16(b.slice()), l.F32)
	}
	if c.int8 > 0 {
		l.Int8 = cmp.Or(b.meter.Int8(b.slice()), l.F32)
	}
	if c.bytes > 0 {
		l.ReadBandwidth = b.meter.ReadBandwidth(b.slice())
	}
	return l
}

// timing holds the medians over the rounds of one measurement.
type timing struct {
	seconds []float64 // of each part
	limits  cpu.Limits
	rounds  int
}

// minRounds is the minimum number of rounds, even if they take longer than -seconds.
const minRounds = 3

// rounds repeats trial, which returns the seconds of each of its parts, and between
// the trials measures the limits that c depends on, so that other processes on a
// shared machine disturb both alike. The first trial warms up and is not counted.
func (b *bench) rounds(ctx context.Context, c cost, trial func() ([]float64, error)) (timing, error) {
	if _, err := trial(); err != nil {
		return timing{}, err
	}
	var parts [][]float64
	var limits []cpu.Limits
	for began := time.Now(); len(limits) < minRounds || time.Since(began) < b.seconds(); {
		if err := ctx.Err(); err != nil {
			return timing{}, err
		}
		seconds, err := trial()
		if err != nil {
			return timing{}, err
		}
		for i, s := range seconds {
			if len(parts) == i {
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], s)
		}
		limits = append(limits, b.probe(c))
	}
	t := timing{rounds: len(limits)}
	for _, p := range parts {
		t.seconds = append(t.seconds, median(p))
	}
	of := func(rate func(cpu.Limits) float64) float64 {
		rates := make([]float64, len(limits))
		for i, l := range limits {
			rates[i] = rate(l)
		}
		return median(rates)
	}
	t.limits = cpu.Limits{
		F32:           of(func(l cpu.Limits) float64 { return l.F32 }),
		BF16:          of(func(l cpu.Limits) float64 { return l.BF16 }),
		Int8:          of(func(l cpu.Limits) float64 { return l.Int8 }),
		ReadBandwidth: of(func(l cpu.Limits) float64 { return l.ReadBandwidth }),
	}
	return t, nil
}

// median sorts x and returns its median.
func median(x []float64) float64 {
	slices.Sort(x)
	if n := len(x); n%2 == 0 {
		return (x[n/2-1] + x[n/2]) / 2
	}
	return x[len(x)/2]
}

// rate returns l completed with the result of part i of t: amount is the work that
// the part does, in unit, and c is its cost.
func (t timing) rate(l line, i int, amount float64, unit string, c cost) line {
	least, bound := c.seconds(t.limits)
	l.Value, l.Unit = amount/t.seconds[i], unit
	l.Limit, l.Bound = amount/least, bound
	l.Share = l.Value / l.Limit
	l.Seconds, l.Rounds = t.seconds[i], t.rounds
	return l
}

// parts returns a trial for rounds. It repeats each function of work for at least
// half a slice and returns the seconds of one call of each.
func (b *bench) parts(work ...func() error) func() ([]float64, error) {
	calls := make([]int, len(work)) // number of calls of each function; 0 until known
	return func() ([]float64, error) {
		seconds := make([]float64, len(work))
		for i, f := range work {
			if calls[i] == 0 {
				if err := f(); err != nil { // the first call may set something up
					return nil, err
				}
				calls[i] = 1
			}
			for {
				began := time.Now()
				for range calls[i] {
					if err := f(); err != nil {
						return nil, err
					}
				}
				took := time.Since(began)
				if seconds[i] = took.Seconds() / float64(calls[i]); took >= b.slice()/2 {
					break
				}
				calls[i] *= max(2, int(b.slice()/max(took, 1)))
			}
		}
		return seconds, nil
	}
}

// fits returns an error if what needs more bytes of memory than the machine has.
func (b *bench) fits(what string, bytes float64) error {
	if total, _ := b.b.MemInfo(); total > 0 && bytes > 0.95*float64(total) {
		return fmt.Errorf("%s takes %.1f GB, the machine has %.1f", what, bytes/1e9, float64(total)/1e9)
	}
	return nil
}

// holds returns an error if a model needs more memory than the machine has.
func (b *bench) holds(m backend.Memory) error {
	if err := m.Fits(b.b); err != nil {
		return fmt.Errorf("%w; -layers cuts a model", err)
	}
	return nil
}
