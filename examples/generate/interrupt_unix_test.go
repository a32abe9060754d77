//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Between answers SIGINT ends the chat as the end of input does. SIGTERM ends the command.
func TestSignalsEndTheChat(t *testing.T) {
	dir := speaker(t)
	self, err := os.Executable()
	must(t, err)
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: 0, syscall.SIGTERM: 143} {
		c := exec.CommandContext(t.Context(), self, "-model", dir)
		c.Env = append(os.Environ(), asCommand+"=1")
		in, err := c.StdinPipe()
		must(t, err)
		out, err := c.StdoutPipe()
		must(t, err)
		errs, err := c.StderrPipe()
		must(t, err)
		must(t, c.Start())
		_, err = io.WriteString(in, "Hi\n")
		must(t, err)
		answer, err := bufio.NewReader(out).ReadString('\n')
		must(t, err)
		lines := bufio.NewReader(errs)
		for line := ""; !strings.Contains(line, "stopped: "); { // the answer has ended
			line, err = lines.ReadString('\n')
			must(t, err)
		}
		must(t, c.Process.Signal(s))
		c.Wait()
		if code := c.ProcessState.ExitCode(); code != want || answer != hello+"\n" {
			t.Errorf("%v: %q, exit code %d, want %d", s, answer, code, want)
		}
	}
}
