package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a command: SIGINT (Ctrl-C) and SIGTERM cancel its context, a second
// one ends it at once. An error is printed and becomes exit code 1. A run that
// was stopped says where, and how to go on, and ends with 130 or 143.
func Main(name, goOn string, start func(ctx context.Context) error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
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

// Interrupts takes SIGINT from Main: it comes over the channel and cancels nothing.
func Interrupts() <-chan os.Signal {
	signal.Reset(os.Interrupt)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	return signals
}

// stopped is the cause of a context that a signal cancelled.
type stopped struct{ by os.Signal }

// Error names the signal as shells do.
func (s stopped) Error() string {
	if s.by == syscall.SIGTERM {
		return "SIGTERM"
	}
	return "SIGINT"
}

// Is makes it a cancellation.
func (s stopped) Is(target error) bool { return target == context.Canceled }

// exitCode is that of a shell for a process which the signal ended.
func (s stopped) exitCode() int {
	if s.by == syscall.SIGTERM {
		return 128 + 15
	}
	return 128 + 2
}
