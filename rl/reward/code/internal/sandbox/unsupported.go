//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
)

var errUnsupported = fmt.Errorf("it needs Linux on amd64 or arm64: %w", errors.ErrUnsupported)

func run(context.Context, Command) (*Result, error) {
	return nil, &UnavailableError{errUnsupported}
}
