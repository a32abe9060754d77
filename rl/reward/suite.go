package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Suite runs reward functions on samples and sums their weighted rewards.
//
// Each call of a function that is not Serial runs in a separate goroutine with a deadline. If
// the function panics, the verdict is an Error with the value and the place of the panic; if
// it exceeds the deadline, the verdict is a Timeout.
//
// Go cannot kill a goroutine. A call that ignores its context is abandoned: it keeps running
// and holds its memory and perhaps a core until it returns. The Suite counts such calls, and
// Score returns an error when there are MaxAbandoned. Run untrusted code in a separate
// process, which can be killed; see package code.
//
// Results do not depend on scheduling, except that a Timeout depends on the wall clock. A
// trainer that must resume bit for bit therefore logs its Scores and passes them to Replay.
//
// A Suite must not be copied after first use. Its methods may be called from several
// goroutines. Timeout and Workers then apply to each call, and MaxAbandoned to all calls
// together.
type Suite struct {
	// Funcs lists the reward functions: at least one, with distinct names.
	Funcs []Func
	// Timeout is the time limit of one call of a function; a call of ScoreAll covers the
	// whole batch. 0 means 10 s.
	Timeout time.Duration
	// Workers is the maximum number of concurrent calls; 0 means GOMAXPROCS.
	Workers int
	// MaxAbandoned is the number of abandoned calls, which still run after their deadline, at
	// which Score returns an error; 0 means 64.
	MaxAbandoned int

	abandoned atomic.Int64
}

// Abandoned returns the number of calls that still run after their deadline.
func (s *Suite) Abandoned() int { return int(s.abandoned.Load()) }

// task is one call of a function, on one sample or on all samples.
type task struct {
	fn    *Func
	out   []Verdict // receives the verdicts; its length is their number
	first int       // index of the first sample
}

// Score scores every sample with every function.
//
// It returns an error if the suite is invalid (see Validate), if ctx ends, or if
// MaxAbandoned is reached. If a function fails on a sample, Score returns no error; see
// Scores.
func (s *Suite) Score(ctx context.Context, samples []Sample) (*Scores, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	// An abandoned call may still read the samples after Score has returned.
	samples = slices.Clone(samples)

	verdicts := make([][]Verdict, len(s.Funcs))
	var tasks, serial []task
	for f := range s.Funcs {
		fn, out := &s.Funcs[f], make([]Verdict, len(samples))
		verdicts[f] = out
		switch {
		case fn.ScoreAll != nil && len(samples) == 0:
			continue
		case fn.Serial:
			serial = append(serial, task{fn, out, 0})
			continue
		case fn.ScoreAll != nil:
			tasks = append(tasks, task{fn, out, 0})
			continue
		}
		for i := range samples {
			tasks = append(tasks, task{fn, out[i : i+1], i})
		}
	}
	if err := s.runAll(ctx, tasks, samples); err != nil {
		return nil, err
	}
	for _, t := range serial {
		protect(ctx, t, samples, func(v []Verdict) { copy(t.out, t.checked(v)) })
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reward: interrupted: %w", err)
		}
	}
	return newScores(s.Funcs, verdicts, len(samples)), nil
}

// Replay returns Scores with logged verdicts, without running any function. It computes
// totals and counts anew with this suite's weights. samples is the number of samples
// expected. Replay returns an error if the log has other functions, another number of
// verdicts or an invalid verdict.
func (s *Suite) Replay(logged *Scores, samples int) (*Scores, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	names := make([]string, len(s.Funcs))
	for f, fn := range s.Funcs {
		names[f] = fn.Name
	}
	if !slices.Equal(names, logged.Functions) {
		return nil, fmt.Errorf("reward: replay: log has functions %q, suite has %q", logged.Functions, names)
	}
	if len(logged.Verdicts) != len(names) {
		return nil, fmt.Errorf("reward: replay: log has verdicts of %d functions, want %d", len(logged.Verdicts), len(names))
	}
	verdicts := make([][]Verdict, len(names))
	for f, row := range logged.Verdicts {
		if len(row) != samples {
			return nil, fmt.Errorf("reward: replay: %s has %d verdicts for %d samples", names[f], len(row), samples)
		}
		verdicts[f] = make([]Verdict, samples)
		for i, v := range row {
			c := v.checked(names[f])
			if c.Status != v.Status || c.Value != v.Value {
				return nil, fmt.Errorf("reward: replay: %s, sample %d: impossible verdict %v with value %v", names[f], i,
					v.Status, v.Value)
			}
			verdicts[f][i] = c
		}
	}
	return newScores(s.Funcs, verdicts, samples), nil
}

// Validate reports an invalid suite: no function that is not MetricOnly; a function without a
// name, with a name used twice, with both or neither of Score and ScoreAll, with Serial but
// without ScoreAll, or with a weight that is not finite; a negative Timeout, Workers or
// MaxAbandoned.
func (s *Suite) Validate() error {
	switch {
	case len(s.Funcs) == 0:
		return errors.New("reward: Suite.Funcs is empty")
	case !slices.ContainsFunc(s.Funcs, func(f Func) bool { return !f.MetricOnly }):
		return errors.New("reward: all of Suite.Funcs are MetricOnly: there is no reward")
	case s.Timeout < 0:
		return fmt.Errorf("reward: Suite.Timeout is %v, want 0 or more", s.Timeout)
	case s.Workers < 0:
		return fmt.Errorf("reward: Suite.Workers is %d, want 0 or more", s.Workers)
	case s.MaxAbandoned < 0:
		return fmt.Errorf("reward: Suite.MaxAbandoned is %d, want 0 or more", s.MaxAbandoned)
	}
	seen := map[string]bool{}
	for i, fn := range s.Funcs {
		switch {
		case fn.Name == "":
			return fmt.Errorf("reward: function %d has no name", i)
		case seen[fn.Name]:
			return fmt.Errorf("reward: two functions are named %q", fn.Name)
		case (fn.Score == nil) == (fn.ScoreAll == nil):
			return fmt.Errorf("reward: function %q must set exactly one of Score and ScoreAll", fn.Name)
		case fn.Serial && fn.ScoreAll == nil:
			return fmt.Errorf("reward: function %q is Serial without ScoreAll", fn.Name)
		case math.IsNaN(fn.Weight) || math.IsInf(fn.Weight, 0):
			return fmt.Errorf("reward: Suite.Funcs[%d].Weight is %v, want a finite number", i, fn.Weight)
		}
		seen[fn.Name] = true
	}
	return nil
}

// runAll runs the tasks with a limited number of workers.
func (s *Suite) runAll(ctx context.Context, tasks []task, samples []Sample) error {
	workers, limit := s.Workers, int64(s.MaxAbandoned)
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if limit == 0 {
		limit = 64
	}
	var (
		wg      sync.WaitGroup
		next    atomic.Int64
		stopped atomic.Bool
	)
	for range min(workers, len(tasks)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(tasks)) {
					return
				}
				if s.abandoned.Load() >= limit {
					stopped.Store(true)
					return
				}
				t := tasks[i]
				copy(t.out, s.call(ctx, t, samples))
			}
		})
	}
	wg.Wait()
	// A function may have returned early because ctx ended, so the results of an
	// interrupted run are discarded.
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reward: interrupted: %w", err)
	}
	if stopped.Load() {
		return fmt.Errorf("reward: %d calls still run after their deadline, the limit is %d", s.Abandoned(), limit)
	}
	return nil
}

// The states of a call. They decide the race between its return and its deadline.
const (
	running = iota
	returned
	abandoned
)

// call runs one task with the deadline and returns len(t.out) verdicts.
func (s *Suite) call(ctx context.Context, t task, samples []Sample) []Verdict {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	var state atomic.Int32
	done := make(chan []Verdict, 1)
	go protect(ctx, t, samples, func(v []Verdict) {
		done <- v
		if !state.CompareAndSwap(running, returned) {
			s.abandoned.Add(-1)
		}
	})

	var got []Verdict
	select {
	case got = <-done:
	case <-ctx.Done():
		s.abandoned.Add(1)
		if state.CompareAndSwap(running, abandoned) {
			return repeat(len(t.out), Verdict{
				Status: Timeout,
				Err:    fmt.Errorf("reward: %s: no verdict within %v", t.fn.Name, timeout),
			})
		}
		s.abandoned.Add(-1) // the function returned at the deadline
		got = <-done
	}
	return t.checked(got)
}

// checked returns the verdicts of a call after checking their number and each of them.
func (t task) checked(got []Verdict) []Verdict {
	if len(got) != len(t.out) {
		return repeat(len(t.out), failed("reward: %s: returned %d verdicts for %d samples", t.fn.Name, len(got), len(t.out)))
	}
	checked := make([]Verdict, len(got))
	for i, v := range got {
		checked[i] = v.checked(t.fn.Name)
	}
	return checked
}

// protect calls the task's function and then report with its verdicts. It calls report
// exactly once, even if the function panics or calls runtime.Goexit.
func protect(ctx context.Context, t task, samples []Sample, report func([]Verdict)) {
	verdicts := repeat(len(t.out), failed("reward: %s: called runtime.Goexit", t.fn.Name))
	defer func() { report(verdicts) }()
	defer func() {
		if r := recover(); r != nil {
			verdicts = repeat(len(t.out), Verdict{Status: Error, Err: &PanicError{
				Function: t.fn.Name, Value: r, Place: panicPlace(),
			}})
		}
	}()
	if t.fn.ScoreAll != nil {
		verdicts = t.fn.ScoreAll(ctx, samples)
		return
	}
	verdicts = []Verdict{t.fn.Score(ctx, samples[t.first])}
}

// PanicError is the Err of a verdict whose reward function panicked.
type PanicError struct {
	Function string // name of the reward function
	Value    any    // the argument of panic
	Place    string // in the form "package.function file.go:line"
}

// Error returns the function's name, the panic's value and its place.
func (e *PanicError) Error() string {
	return fmt.Sprintf("reward: %s: panic: %v (%s)", e.Function, e.Value, e.Place)
}

// panicPlace finds the frame that panicked. A deferred function calls it during the panic.
// The stack then has the deferred functions, runtime.gopanic, perhaps further functions of the
// runtime (nil dereference, index out of range), and the function that panicked.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicking := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%s %s:%d", frame.Function, filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return "place unknown"
		}
	}
}

func repeat(n int, v Verdict) []Verdict { return slices.Repeat([]Verdict{v}, n) }
