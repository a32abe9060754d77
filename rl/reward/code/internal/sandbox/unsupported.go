//go:build !linux || !(amd64 || arm64)

package sandbox

import "context"

func run(context.Context, Command) (*Result, error) {
	return nil, &UnavailableError{errUnsupported}
}
