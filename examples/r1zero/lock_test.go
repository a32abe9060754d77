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
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aha-go/aha/model/checkpoint"
	"github.com/aha-go/aha/model/train/run"
)

// probes is the number of pairs of processes. With more than 10, delays are up to 3
// seconds, and the test takes minutes.
var probes = flag.Int("probes", 3, "pairs of processes that TestSecondProcessLeavesTheFirstAlone starts on one folder")

// started is a command that runs in the background.
type started struct {
	*exec.Cmd
	stdout, stderr strings.Builder
	done           chan struct{} // closed when the command has ended
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

// code waits until the command has ended and returns its exit code.
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

// alone has undisturbed runs of r1zero, one for each list of arguments.
type alone map[string]struct{ dir, weights string }

func (a alone) run(t *testing.T, args []string) (dir, weights string) {
	t.Helper()
	key := strings.Join(args, " ")
	r, ok := a[key]
	if !ok {
		r.dir = t.TempDir()
		r.weights = weightsOf(t, begin(t, append(args, "-out", r.dir)...))
		a[key] = r
	}
	return r.dir, r.weights
}

// If two processes use one folder, one of them stops at once with an error that names the
// other, and the other is not disturbed. Which one stops depends on the delay.
func TestSecondProcessLeavesTheFirstAlone(t *testing.T) {
	steps := "8"
	if *probes > 10 {
		steps = "30" // makes a run last longer than 3 seconds
	}
	long := []string{"-json", "-steps", steps}
	undisturbed := alone{}
	began := time.Now()
	undisturbed.run(t, long)
	most := min(3*time.Second, time.Since(began)/2)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	others := [][]string{long, {"-json", "-steps", "5"}, {"-json", "-steps", steps, "-resume"}, {"-json", "-seed", "2"}}
	for i := range *probes {
		other := others[i%len(others)]
		delay := time.Duration(0)
		if i > 0 {
			delay = time.Duration(random.Int64N(int64(most)))
		}
		what := fmt.Sprintf("seed %d, probe %d after %v with %v", seed, i, delay, other)
		out := t.TempDir()
		first := begin(t, append(long, "-out", out)...)
		time.Sleep(delay)
		if first.ended() {
			t.Logf("%s: the first had ended", what) // the machine is faster than before
			most /= 2
			continue
		}
		second := begin(t, append(other, "-out", out)...)
		refused, ran, args := second, first, long
		select {
		case <-second.done:
		case <-first.done:
			refused, ran, args = first, second, other
		}
		if ran.ended() {
			t.Errorf("%s: one ended before the other was refused:\n%s%s", what, first.stderr.String(), second.stderr.String())
		}
		holder := fmt.Sprintf("r1zero: %s is in use by process %d on host ", out, ran.Process.Pid)
		if code := refused.code(); code != 1 || !strings.HasPrefix(refused.stderr.String(), holder) ||
			refused.stdout.String() != "" {
			t.Errorf("%s: exit code %d, %q, want 1 and %q; printed %q", what, code, refused.stderr.String(), holder,
				refused.stdout.String())
		}
		want, weights := undisturbed.run(t, args)
		if got := weightsOf(t, ran); got != weights || weightsIn(t, out) != weightsIn(t, want) {
			t.Errorf("%s: weights %s, undisturbed %s; or the checkpoints differ", what, got, weights)
		}
		sameRecords(t, what, want, out)
		sameFiles(t, what, want, out)
	}
}

// weightsOf waits for a run and returns the checksum of its final weights.
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

// weightsIn returns the contents of the weights file in the newest checkpoint of a run.
func weightsIn(t *testing.T, dir string) string {
	t.Helper()
	return read(t, newest(t, filepath.Join(dir, "grpo")), checkpoint.SingleFile)
}

// sameFiles checks that the folders of two runs have files with the same names.
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
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil { // it has locked the folder
		t.Fatal(err)
	}
	if _, err := run.Lock(out); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d ",
		c.Process.Pid)) {
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

// A GRPO run that another program is using is not set aside.
func TestGRPORunInUseIsNotSetAside(t *testing.T) {
	out := clone(t)
	grpo := filepath.Join(out, "grpo")
	lock, err := run.Lock(grpo)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	before := names(t, out)
	o := finish(t, command(t, "-out", out))
	if want := fmt.Sprintf("r1zero: %s is in use by process %d ", grpo, os.Getpid()); o.code != 1 ||
		!strings.HasPrefix(o.stderr, want) {
		t.Errorf("exit code %d, %q, want %q", o.code, o.stderr, want)
	}
	if diff := cmp.Diff(before, names(t, out)); diff != "" {
		t.Errorf("files were moved: %s", diff)
	}
}
