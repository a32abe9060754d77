// Package program lets tests run the command that they belong to: they start the test binary
// a second time, and it runs as the command.
package program

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// asCommand is an environment variable: if it is set, the test binary runs as the command.
const asCommand = "AHA_TEST_AS_COMMAND"

// Main must be called by TestMain. It runs the tests or, if Command started the binary, main.
func Main(m *testing.M, main func()) {
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// Command returns the command with args. It is killed when the test ends.
func Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

// Outcome is the output and the exit code of a command.
type Outcome struct {
	Stdout, Stderr string
	Code           int
}

// Finish runs the command with args and waits until it exits.
func Finish(t testing.TB, args ...string) Outcome {
	t.Helper()
	c := Command(t, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	o := Outcome{Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, failed := errors.AsType[*exec.ExitError](err); failed {
		o.Code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return o
}
