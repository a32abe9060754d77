//go:build unix

package checkpoint

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// rerun runs the test in a new process in which the environment variable is set.
func rerun(t *testing.T, variable, value, dir string) (output string, err error) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	c.Env = append(os.Environ(), variable+"="+value, "CHECKPOINT_DIR="+dir)
	b, err := c.CombinedOutput()
	return string(b), err
}

// The process is killed, as by kill -9, ahead of each step of a save in turn.
func TestKilledSaveLosesNothing(t *testing.T) {
	const variable = "CHECKPOINT_KILL_AT"
	if at, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		s := Store{Dir: os.Getenv("CHECKPOINT_DIR")}
		s.Before = func(op, path string) error {
			if at--; at < 0 {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		}
		if err := save(s, 2); err != nil {
			t.Fatal(err)
		}
		return
	}
	var appeared bool
	for n := 0; ; n++ {
		s := Store{Dir: t.TempDir()}
		mustSave(t, s, 1)
		output, err := rerun(t, variable, strconv.Itoa(n), s.Dir)
		if err == nil {
			wantLatest(t, s, 2)
			if n < 10 {
				t.Errorf("the save was over after %d steps: %s", n, output)
			}
			return
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok ||
			exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, output)
		}
		if _, err := os.Stat(s.path(2)); err == nil {
			appeared = true
		} else if appeared {
			t.Fatalf("killed at step %d: the checkpoint was there earlier and is not now", n)
		}
		if appeared {
			wantLatest(t, s, 2)
		} else {
			wantLatest(t, s, 1)
			// What the killed process left behind must not disturb the next save.
			mustSave(t, s, 2)
			wantLatest(t, s, 2)
		}
		if err := s.Prune(2); err != nil {
			t.Fatal(err)
		}
		if names := strings.Join(list(t, s.Dir), " "); names != "step-000001 step-000002" {
			t.Fatalf("killed at step %d: after pruning there are %s", n, names)
		}
	}
}

// The process is killed ahead of each step of writing a folder in turn. After that, the
// folder is complete, either the old or the new one, and the next call removes temporary
// files.
func TestKilledFolderLeavesTheOldOneOrTheNewOne(t *testing.T) {
	const variable = "CHECKPOINT_KILL_FOLDER_AT"
	if at, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		err := writeFolder(filepath.Join(os.Getenv("CHECKPOINT_DIR"), "model"), someFolder(2), func(op, path string) error {
			if at--; at < 0 {
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	old := true
	for n := 0; ; n++ {
		parent := t.TempDir()
		dir := filepath.Join(parent, "model")
		if err := WriteFolder(dir, someFolder(1)); err != nil {
			t.Fatal(err)
		}
		output, err := rerun(t, variable, strconv.Itoa(n), parent)
		switch got := folderNumber(t, dir); {
		case got == 2:
			old = false
		case !old:
			t.Fatalf("killed at step %d: the folder is %d again after it was the new one", n, got)
		}
		if err == nil {
			if n < 15 || old {
				t.Errorf("over after %d steps, old folder: %t: %s", n, old, output)
			}
			return
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok ||
			exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, output)
		}
		if err := WriteFolder(dir, someFolder(3)); err != nil || folderNumber(t, dir) != 3 {
			t.Fatalf("killed at step %d, written again: error %v", n, err)
		}
		if names := list(t, parent); len(names) != 1 {
			t.Fatalf("killed at step %d, written again: left behind %v", n, names)
		}
	}
}

// The kernel's limit on file sizes makes a write fail midway.
func TestKernelRefusingAWriteLeavesTheLastCheckpoint(t *testing.T) {
	const variable = "CHECKPOINT_FILE_LIMIT"
	if limit, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		signal.Ignore(syscall.SIGXFSZ) // so that the write returns EFBIG instead
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			t.Fatal(err)
		}
		old := r
		r.Cur = uint64(limit)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			t.Skipf("no file size limit here: %v", err)
		}
		err := save(Store{Dir: os.Getenv("CHECKPOINT_DIR")}, 2)
		// Restore the limit, because a test binary may write files of its own on exit.
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("want EFBIG, got %v", err)
		}
		return
	}
	s := Store{Dir: t.TempDir()}
	mustSave(t, s, 1)
	output, err := rerun(t, variable, "40", s.Dir)
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if strings.Contains(output, "SKIP") {
		t.Skip(output)
	}
	wantLatest(t, s, 1)
	if names := strings.Join(list(t, s.Dir), " "); names != "step-000001" {
		t.Errorf("left behind: %s", names)
	}
}
