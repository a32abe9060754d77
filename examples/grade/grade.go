package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/aha-go/aha/examples/internal/rules"
	"github.com/aha-go/aha/rl/reward"
)

// grader judges lines by a rule.
type grader struct {
	rule   rules.Rule
	ks     []int
	suite  *reward.Suite
	strict bool
	// broken is called for each line that cannot be read.
	broken func(err error)
}

func newGrader(r rules.Rule, ks []int, o options) *grader {
	if r.Lines == 0 {
		r.Lines = manyLines
	}
	return &grader{
		rule: r, ks: ks, strict: o.Strict,
		suite:  &reward.Suite{Funcs: []reward.Func{{Name: r.Name, Score: r.Score}}, Timeout: o.Timeout, Workers: 1},
		broken: func(err error) { fmt.Fprintf(os.Stderr, "grade: %v\n", err) },
	}
}

// job is a chunk of lines to judge, and the result.
type job struct {
	lines []line
	size  int
	done  chan struct{} // closed when the fields below are set
	judged
	err error
}

// maxPending limits the bytes of lines in memory that have been read and whose verdicts are
// not yet written. The chunk that was read last is not counted.
const maxPending = maxLine

// weight returns the share of maxPending that a job takes.
func weight(j *job) int64 { return int64(min(j.size, maxPending)) }

// run judges the lines of in, which errors call name, and writes their verdicts to out in the
// same order. It calls shown with the number of bytes that are done.
func (g *grader) run(ctx context.Context, in io.Reader, name string, out io.Writer,
	shown func(bytes int64)) (s summary, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errors.New("grade: run has returned"))
	workers := runtime.GOMAXPROCS(0)
	// ordered has the jobs that are not yet written, in the order of the input; todo has
	// those that no worker has taken. run does not wait for the goroutine that reads, since
	// it may be blocked on a pipe.
	ordered, todo := make(chan *job, 4*workers), make(chan *job, 4*workers)
	pending := semaphore.NewWeighted(maxPending)
	var readErr error // set when ordered is closed
	go func() {
		defer close(todo)
		defer close(ordered)
		r := newLineReader(in)
		for readErr == nil {
			j := &job{done: make(chan struct{})}
			j.lines, j.size, readErr = r.chunk(g.rule.Lines)
			if len(j.lines) == 0 {
				continue
			}
			if pending.Acquire(ctx, weight(j)) != nil {
				return
			}
			for _, to := range []chan *job{ordered, todo} {
				select {
				case to <- j:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	for range workers {
		go func() {
			for j := range todo {
				j.judged, j.err = g.judge(ctx, j.lines)
				close(j.done)
			}
		}()
	}
	s = newSummary(g.rule.Name, g.ks, g.rule.Restate != nil)
	read := int64(0)
	for {
		var j *job
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case j = <-ordered:
		}
		if j == nil {
			break
		}
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-j.done:
		}
		if j.err != nil {
			return s, j.err
		}
		for _, b := range j.broken {
			err := fmt.Errorf("%s: line %d: %w", name, b.number, b.err)
			if g.strict {
				return s, err
			}
			g.broken(err)
		}
		if _, err := out.Write(j.out); err != nil {
			return s, err
		}
		s.add(j.judged, len(j.lines))
		pending.Release(weight(j))
		read += int64(j.size)
		shown(read)
	}
	if ctx.Err() != nil { // the reader may have ended because of it
		return s, context.Cause(ctx)
	}
	if readErr != io.EOF {
		return s, fmt.Errorf("%s: %w", name, readErr)
	}
	if s.Lines == 0 {
		return s, fmt.Errorf("%s: no lines", name)
	}
	s.finish()
	return s, nil
}
