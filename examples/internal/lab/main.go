package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a command. SIGINT (Ctrl-C) and SIGTERM cancel its context; a second signal
// kills the process. If start fails, Main prints the error and exits with code 1. If a
// signal stopped start, Main prints the error and goOn, which says how to continue, and
// exits with code 130 or 143.
func Main(name, goOn string, start func(ctx context.Context) error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
		fmt.Fprintf(os.Stderr, "%s: %v: stopping; a second signal ends the process at once\n", name, stopped{s})
		cancel(stopped{s})
	}()
	err := start(ctx)
	if by, ok := errors.AsType[stopped](context.Cause(ctx)); ok && errors.Is(err, context.Canceled) {
		if !errors.Is(err, by) {
			err = fmt.Errorf("%w (%v)", err, by)
		}
		fmt.Fprintf(os.Stderr, "%s: %v; %s\n", name, err, goOn)
		os.Exit(by.exitCode())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Interrupts returns a channel that receives SIGINT. From then on SIGINT no longer cancels
// the context of Main.
func Interrupts() <-chan os.Signal {
	signal.Reset(os.Interrupt)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	return signals
}

// stopped is the cause of a context cancelled by a signal.
type stopped struct{ by os.Signal }

// Error returns the name of the signal.
func (s stopped) Error() string {
	if s.by == syscall.SIGTERM {
		return "SIGTERM"
	}
	return "SIGINT"
}

// Is makes errors.Is(s, context.Canceled) true.
func (s stopped) Is(target error) bool { return target == context.Canceled }

// exitCode returns the exit code that shells report for a process that the signal killed.
func (s stopped) exitCode() int {
	if s.by == syscall.SIGTERM {
		return 128 + 15
	}
	return 128 + 2
}
