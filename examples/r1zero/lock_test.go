package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/model/train/run"
)

// probes is the number of pairs of processes. More than 10 take minutes, with
// delays of up to 3 seconds.
var probes = flag.Int("probes", 3, "pairs of processes that TestSecondProcessLeavesTheFirstAlone starts on one folder")

// started is a command that runs beside others.
type started struct {
	*exec.Cmd
	stdout, stderr strings.Builder
	done           chan struct{} // closed when it has ended
}

func begin(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{Cmd: command(t, args...), done: make(chan struct{})}
	s.Stdout, s.Stderr = &s.stdout, &s.stderr
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.Wait()
		close(s.done)
	}()
	return s
}

// code waits for the command's end.
func (s *started) code() int {
	<-s.done
	return s.ProcessState.ExitCode()
}

// ended reports whether the command has ended.
func (s *started) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Of two processes on one folder one is told at once who the other is, and the
// other does not notice. Without a delay either may be the one.
func TestSecondProcessLeavesTheFirstAlone(t *testing.T) {
	steps := "8"
	if *probes > 10 {
		steps = "30" // to last longer than 3 seconds
	}
	long := []string{"-steps", steps, "-json"}
	alone := t.TempDir()
	began := time.Now()
	want := weightsOf(t, begin(t, append(long, "-out", alone)...))
	most := min(3*time.Second, time.Since(began)/2)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	others := [][]string{long, {"-steps", "5"}, {"-steps", steps, "-resume"}, {"-seed", "2"}}
	for i := range *probes {
		delay := time.Duration(float64(most) * float64(i) / float64(*probes))
		if i > 0 {
			delay = time.Duration(random.Int64N(int64(most)))
		}
		what := fmt.Sprintf("seed %d, probe %d after %v with %v", seed, i, delay, others[i%len(others)])
		out := t.TempDir()
		first := begin(t, append(long, "-out", out)...)
		time.Sleep(delay)
		second := begin(t, append(others[i%len(others)], "-out", out)...)
		refused, ran := second, first
		select {
		case <-second.done:
		case <-first.done: // refused, or done before the second was
			if i == 0 {
				refused, ran = first, second
			}
		}
		if ran.ended() {
			t.Errorf("%s: one ended before the other was refused:\n%s%s%s", what, first.stdout.String(), first.stderr.String(), second.stderr.String())
		}
		holder := fmt.Sprintf("r1zero: %s is in use by process %d on host ", out, ran.Process.Pid)
		if code := refused.code(); code != 1 || !strings.HasPrefix(refused.stderr.String(), holder) || refused.stdout.String() != "" {
			t.Errorf("%s: exit code %d, %q, want 1 and %q; printed %q", what, code, refused.stderr.String(), holder, refused.stdout.String())
		}
		if got := weightsOf(t, ran); got != want {
			t.Errorf("%s: weights %s, undisturbed %s", what, got, want)
		}
		sameRecords(t, what, alone, out)
		sameFiles(t, what, alone, out)
	}
}

// weightsOf is the checksum of the weights that a run ends with.
func weightsOf(t *testing.T, s *started) string {
	t.Helper()
	if code := s.code(); code != 0 {
		t.Fatalf("%v: exit code %d\n%s%s", s.Args[1:], code, s.stdout.String(), s.stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(s.stdout.String()), "\n")
	var result struct {
		Weights string `json:"weights_sha256"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil {
		t.Fatal(err)
	}
	return result.Weights
}

// sameFiles compares the names of all files of two runs.
func sameFiles(t *testing.T, what, want, got string) {
	t.Helper()
	if diff := cmp.Diff(names(t, want), names(t, got)); diff != "" {
		t.Errorf("%s: other files than the undisturbed run's: %s", what, diff)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The kernel releases the lock of a process that is killed.
func TestKilledHolderLetsGo(t *testing.T) {
	out := t.TempDir()
	c := command(t, "-out", out)
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil { // it has the folder
		t.Fatal(err)
	}
	if _, err := run.Lock(out); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d ", c.Process.Pid)) {
		t.Errorf("while it runs: %v", err)
	}
	if err := c.Process.Kill(); err != nil && err != os.ErrProcessDone {
		t.Fatal(err)
	}
	c.Wait()
	lock, err := run.Lock(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	_, result := must(t, out, "-resume")
	wantUndisturbed(t, "a killed run", out, result)
}
