//go:build !linux || !amd64

package emu

import (
	"errors"
	"testing"
)

func TestBuildSaysThatTheSystemIsUnsupported(t *testing.T) {
	if path, err := Build(t.TempDir()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("path %q, error %v", path, err)
	}
	t.Skip("the emulator of CUDA needs linux/amd64")
}
