// Package program lets the tests of a command run it: the test binary, started once more, is
// the command.
package program

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// asCommand makes the test binary run as the command.
const asCommand = "AHA_TEST_AS_COMMAND"

// Main is for TestMain: it runs the tests, or main where the binary was started by Command.
func Main(m *testing.M, main func()) {
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// Command is the command with arguments. It is killed when the test ends.
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

// Outcome is what a command that ended by itself left.
type Outcome struct {
	Stdout, Stderr string
	Code           int
}

// Finish runs the command to its end.
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
