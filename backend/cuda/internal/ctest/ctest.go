// Package ctest builds small C libraries for tests of the bindings.
package ctest

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Build compiles a C file of the test's package to a shared library and returns
// its path. If there is no gcc or the system is not Linux, it skips the test.
func Build(t testing.TB, source string, flags ...string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if runtime.GOOS != "linux" || err != nil {
		t.Skip("SKIP: building the stub of CUDA needs Linux and gcc")
	}
	path := filepath.Join(t.TempDir(), "lib"+filepath.Base(source)+".so")
	args := append([]string{"-shared", "-fPIC", "-Wall", "-Werror", "-o", path, source}, flags...)
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %s: %v\n%s", source, err, out)
	}
	return path
}
