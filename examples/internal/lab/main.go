package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

// Main runs a command: an interrupt cancels its context, a second one ends it at
// once. An error is printed and becomes exit code 1; an interrupted run says how
// to go on and ends with 130.
func Main(name, goOn string, start func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := start(ctx)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(os.Stderr, "%s: interrupted; %s\n", name, goOn)
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
