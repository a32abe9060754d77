//go:build !((linux || windows) && (amd64 || arm64))

package dynlib

import "errors"

const (
	supported      = false
	loaderSearches = false
)

func open(string) (uintptr, error) { return 0, errors.ErrUnsupported }

func location(_ uintptr, path string) string { return path }

func symbol(uintptr, string) (uintptr, error) { return 0, errors.ErrUnsupported }

// Call panics: on this system, no library can have been opened.
func Call(uintptr, ...uintptr) uintptr { panic("dynlib: unsupported system") }
