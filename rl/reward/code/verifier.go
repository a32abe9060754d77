package code

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aha-go/aha/rl/reward"
	"github.com/aha-go/aha/rl/reward/code/internal/sandbox"
)

// Limits are the limits of each test of a program. Zero values mean the defaults.
type Limits = sandbox.Limits

// UnavailableError is the reason why the kernel does not permit a sandbox.
type UnavailableError = sandbox.UnavailableError

// Verifier scores completions by the tests of a Problem. Its method Score is a reward
// function. It must not be copied after first use; its methods may be called from several
// goroutines.
type Verifier struct {
	// PythonCommand and GoCommand are the commands of the languages; "" means python3 and go.
	PythonCommand, GoCommand string
	// Limits are the limits of each test.
	Limits Limits
	// Total is the time limit of all tests of a program together, including the compilation
	// of a Go program. Tests after it fail. 0 means 9 s. Suite.Timeout should be longer, so
	// that a slow program is Wrong rather than a Timeout.
	Total time.Duration
	// Partial makes the value the share of passed tests, instead of 1 or 0.
	Partial bool
	// AcceptLess accepts less isolation if the kernel does not permit namespaces. Err of all
	// verdicts then has an IsolationError.
	AcceptLess bool
	// Extract extracts the program from a completion; nil means LastBlock.
	Extract func(completion string, language Language) (program string, ok bool)

	python pythonTools
	golang goTools
}

// TestError is the failure of a program at one test.
type TestError struct {
	Test int // index in Problem.Tests
	Err  error
}

func (e *TestError) Error() string { return fmt.Sprintf("code: test %d: %v", e.Test, e.Err) }

func (e *TestError) Unwrap() error { return e.Err }

// CompileError reports that a program does not compile.
type CompileError struct{ Message string }

func (e *CompileError) Error() string { return "code: the program does not compile: " + e.Message }

// LimitError names the limit that a program has exceeded.
type LimitError struct{ Limit string }

func (e *LimitError) Error() string { return "exceeds the limit on " + e.Limit }

// IsolationError lists what the isolation of a program lacked, under Verifier.AcceptLess.
type IsolationError struct{ Missing []string }

func (e *IsolationError) Error() string {
	return "code: ran with less isolation, without " + strings.Join(e.Missing, "; ")
}

// Score scores one sample: Correct with 1 if the program passes all tests; Wrong if it fails a
// test, exceeds a limit or does not compile; Unparseable if the completion has no program;
// Error if Sample.Answer is not a valid Problem, or if there is no sandbox, interpreter or
// compiler; Timeout if ctx ends first. Err is that of the first failure.
func (v *Verifier) Score(ctx context.Context, s reward.Sample) reward.Verdict {
	problem, ok := s.Answer.(Problem)
	if !ok {
		return reward.Verdict{Status: reward.Error, Err: fmt.Errorf("code: Sample.Answer is %T, want code.Problem", s.Answer)}
	}
	if err := problem.Validate(); err != nil {
		return reward.Verdict{Status: reward.Error, Err: err}
	}
	extract := v.Extract
	if extract == nil {
		extract = LastBlock
	}
	program, ok := extract(s.Completion, problem.Language)
	if !ok {
		return reward.Verdict{Status: reward.Unparseable, Err: fmt.Errorf("code: no %s program", problem.Language)}
	}
	passed, missing, err := v.run(ctx, program, problem)
	var wrong *TestError
	var uncompiled *CompileError
	verdict := reward.Verdict{Status: reward.Wrong, Err: err}
	switch {
	case err == nil:
		verdict = reward.Verdict{Status: reward.Correct, Value: 1}
	case errors.As(err, &wrong) || errors.As(err, &uncompiled):
		if v.Partial {
			verdict.Value = float64(passed) / float64(len(problem.Tests))
		}
	case errors.Is(err, context.DeadlineExceeded):
		verdict.Status = reward.Timeout
	default:
		verdict.Status = reward.Error
	}
	if len(missing) > 0 {
		verdict.Err = errors.Join(err, &IsolationError{missing})
	}
	return verdict
}

// run runs the tests and returns the number of passed tests and the first failure. It stops
// after a test that exceeds its time and, without Partial, after the first failure.
func (v *Verifier) run(ctx context.Context, program string, p Problem) (passed int, missing []string, err error) {
	if err := v.Limits.Validate(); err != nil {
		return 0, nil, fmt.Errorf("code: %w", err)
	}
	if v.Total < 0 {
		return 0, nil, fmt.Errorf("code: Verifier.Total is %v, want 0 or more", v.Total)
	}
	clock := &clock{left: v.Total}
	if v.Total == 0 {
		clock.left = 9 * time.Second
	}
	command, err := v.command(ctx, program, p, clock)
	if err != nil {
		return 0, nil, err
	}
	var first error
	for i, t := range p.Tests {
		c := command
		c.Limits, c.AcceptLess = v.Limits.WithDefaults(), v.AcceptLess
		c.Stdin = []byte(t.Stdin)
		if p.Function != "" {
			c.Stdin = t.Args
		}
		result, err := clock.run(ctx, c)
		if err != nil {
			return passed, missing, err
		}
		missing = result.Missing
		failure := t.failure(result, p)
		if failure == nil {
			passed++
			continue
		}
		if first == nil {
			first = &TestError{Test: i, Err: failure}
		}
		if !v.Partial || result.Exceeded == sandbox.WallTime || result.Exceeded == sandbox.CPUTime {
			break
		}
	}
	return passed, missing, first
}

// command returns the command that runs the program.
func (v *Verifier) command(ctx context.Context, program string, p Problem, c *clock) (sandbox.Command, error) {
	if p.Language == Go {
		return v.golang.command(ctx, v, program, p.Function, c)
	}
	return v.python.command(ctx, v.PythonCommand, program, p.Function)
}

// failure returns why the test failed, or nil if it passed.
func (t Test) failure(r *sandbox.Result, p Problem) error {
	switch {
	case r.Exceeded != "":
		return &LimitError{string(r.Exceeded)}
	case r.Signal != "":
		return fmt.Errorf("killed by a signal: %s%s", r.Signal, lastLine(r.Stderr))
	case r.ExitCode != 0:
		return fmt.Errorf("exit status %d%s", r.ExitCode, lastLine(r.Stderr))
	case p.Function != "":
		return compareResult(r.Data, t.Want, p.Tolerance)
	}
	return compareOutput(string(r.Stdout), t.Stdout, p.Tolerance)
}

// lastLine returns a colon and the last line of standard error, or "" if that is empty.
func lastLine(stderr []byte) string {
	text := strings.TrimSpace(string(stderr))
	if text == "" {
		return ""
	}
	return ": " + quote(text[strings.LastIndexByte(text, '\n')+1:])
}

// clock limits the total time of all runs of one program.
type clock struct{ left time.Duration }

func (c *clock) run(ctx context.Context, command sandbox.Command) (*sandbox.Result, error) {
	if c.left <= 0 {
		return &sandbox.Result{ExitCode: -1, Exceeded: sandbox.WallTime}, nil
	}
	command.Limits.Wall = min(command.Limits.Wall, c.left)
	result, err := sandbox.Run(ctx, command)
	if err != nil {
		return nil, fmt.Errorf("code: %w", err)
	}
	c.left -= result.Wall
	return result, nil
}
