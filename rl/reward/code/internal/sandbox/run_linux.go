//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the helpers, which are this binary with another argument 0.
const (
	initName = "aha-sandbox-init"
	execName = "aha-sandbox-exec"
)

func init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case initName:
		runInit()
	case execName:
		runExec()
	}
}

// nobody is the user and group of programs if the caller is root.
const nobody = 65534

// helperEnv is the environment of the helpers, which need few threads.
var helperEnv = []string{"GOMAXPROCS=2"}

// report is the message from init to the caller. Error is set if the sandbox could not be set
// up.
type report struct {
	Error    string
	ExitCode int
	Signal   string
	Exceeded Limit
	CPU      time.Duration
	Outputs  map[string][]byte
}

// initSpec is the message from the caller to init.
type initSpec struct {
	Probe   bool // set up the file system, run nothing
	Files   map[string][]byte
	Expose  []string
	Outputs []string
	Limits  Limits
	Exec    execSpec
}

var granted atomic.Bool // the kernel permits the namespaces

// available reports whether the kernel permits the namespaces, by trying them until it does.
func available(ctx context.Context) error {
	if granted.Load() {
		return nil
	}
	_, rep, err := start(ctx, Command{Limits: Limits{}.WithDefaults()}, initSpec{Probe: true})
	if err == nil && rep.Error != "" {
		err = errors.New(rep.Error)
	}
	granted.Store(err == nil)
	return err
}

func run(ctx context.Context, c Command) (*Result, error) {
	if err := available(ctx); ctx.Err() != nil {
		return nil, fmt.Errorf("sandbox: %w", context.Cause(ctx))
	} else if err != nil {
		reason := fmt.Errorf("namespaces: %w", err)
		if !c.AcceptLess {
			return nil, &UnavailableError{reason}
		}
		return runAlone(ctx, c, reason)
	}
	spec := initSpec{Files: c.Files, Expose: c.Expose, Outputs: c.Outputs, Limits: c.Limits,
		Exec: execSpec{Argv: c.Argv, Env: c.Env, Dir: WorkDir, Limits: c.Limits}}
	if os.Geteuid() == 0 {
		spec.Exec.User = nobody
	} else {
		// The limit counts init's threads too, since init runs as the same user.
		spec.Exec.Limits.Processes += 16
	}
	result, rep, err := start(ctx, c, spec)
	switch {
	case err != nil:
		return nil, err
	case rep.Error != "":
		return nil, fmt.Errorf("sandbox: %s", rep.Error)
	}
	return result, nil
}

// start runs init in new namespaces.
func start(ctx context.Context, c Command, spec initSpec) (*Result, report, error) {
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{initName}, Env: helperEnv}
	own := func(outside int) []syscall.SysProcIDMap {
		ids := []syscall.SysProcIDMap{{HostID: outside, Size: 1}}
		if os.Geteuid() == 0 {
			ids = append(ids, syscall.SysProcIDMap{ContainerID: nobody, HostID: nobody, Size: 1})
		}
		return ids
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		UidMappings:                own(os.Geteuid()),
		GidMappings:                own(os.Getegid()),
		GidMappingsEnableSetgroups: os.Geteuid() == 0,
		Setsid:                     true,
		Pdeathsig:                  syscall.SIGKILL,
	}
	result, text, err := supervise(ctx, cmd, c, spec)
	if err != nil {
		return nil, report{}, err
	}
	var rep report
	switch err := json.Unmarshal(text, &rep); {
	case result.Exceeded != "": // supervise has killed init
	case err != nil:
		return nil, rep, fmt.Errorf("sandbox: init died without a report: %v, %q", cmd.ProcessState, result.Stderr)
	default:
		result.ExitCode, result.Signal, result.Exceeded = rep.ExitCode, rep.Signal, rep.Exceeded
		result.CPU, result.Outputs = rep.CPU, rep.Outputs
	}
	return result, rep, nil
}

// runAlone runs the program as one process without namespaces, under Landlock.
func runAlone(ctx context.Context, c Command, reason error) (_ *Result, err error) {
	abi, err := landlockABI()
	if err != nil {
		return nil, &UnavailableError{errors.Join(reason, fmt.Errorf("Landlock: %w", err))}
	}
	dir, err := os.MkdirTemp("", "aha-sandbox-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}()
	work, program := filepath.Join(dir, "work"), filepath.Join(dir, "program")
	for _, d := range []string{work, program} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	for name, data := range c.Files {
		if err := os.WriteFile(filepath.Join(program, name), data, 0o500); err != nil {
			return nil, err
		}
	}
	spec := execSpec{Env: c.Env, Dir: work, Limits: c.Limits, Alone: true}
	for _, a := range c.Argv {
		if rest, ok := strings.CutPrefix(a, ProgramDir); ok {
			a = program + rest
		}
		if rest, ok := strings.CutPrefix(a, WorkDir); ok {
			a = work + rest
		}
		spec.Argv = append(spec.Argv, a)
	}
	spec.Readable = append(append(spec.Readable, program), c.Expose...)
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{execName}, Env: helperEnv}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	result, failure, err := supervise(ctx, cmd, c, spec)
	if err != nil {
		return nil, err
	}
	if len(failure) > 0 {
		return nil, fmt.Errorf("sandbox: %s", failure)
	}
	result.Missing = []string{
		reason.Error() + ": the program can see the host's processes and the names of its files",
		"limits on threads and on the number of files",
	}
	if abi < 3 {
		result.Missing = append(result.Missing, "Landlock's right to truncate")
	}
	state := cmd.ProcessState
	result.ExitCode, result.CPU = state.ExitCode(), state.UserTime()+state.SystemTime()
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() && result.Exceeded == "" {
		result.Signal, result.Exceeded = endedBy(status.Signal(), result.CPU, c.Limits)
	}
	if state.Success() {
		result.Outputs, err = readOutputs(work, c.Outputs, c.Limits.Disk)
	}
	return result, err
}

// supervise runs a helper with the pipes of a program and kills it at the limits on wall time
// and output. It returns the result and the helper's report.
func supervise(ctx context.Context, cmd *exec.Cmd, c Command, spec any) (*Result, []byte, error) {
	// PR_SET_PDEATHSIG refers to the thread, so the thread must live as long as the helper.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	specText, err := json.Marshal(spec)
	if err != nil {
		return nil, nil, err
	}
	var pipes [3]struct{ r, w *os.File } // Data, spec, report
	defer func() {
		for _, p := range pipes {
			p.r.Close()
			p.w.Close()
		}
	}()
	for i := range pipes {
		if pipes[i].r, pipes[i].w, err = os.Pipe(); err != nil {
			return nil, nil, err
		}
	}
	data, orders, rep := pipes[0], pipes[1], pipes[2]

	ended := make(chan Limit, 4)
	full := func() {
		select {
		case ended <- Output:
		default:
		}
	}
	stdout := &capped{limit: c.Limits.Output, full: full}
	stderr := &capped{limit: c.Limits.Output, full: full}
	dataText := &capped{limit: c.Limits.Output, full: full}
	reportText := &capped{limit: 4*c.Limits.Disk + 1<<16, full: full}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(c.Stdin), stdout, stderr
	cmd.ExtraFiles = []*os.File{data.w, orders.r, rep.w}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	data.w.Close()
	orders.r.Close()
	rep.w.Close()

	var copies sync.WaitGroup
	copies.Go(func() { io.Copy(dataText, data.r) })
	copies.Go(func() { io.Copy(reportText, rep.r) })
	// If the helper dies early, this write fails. The cause is reported below.
	copies.Go(func() { orders.w.Write(specText) })

	done := make(chan struct{})
	result, watched := &Result{ExitCode: -1}, make(chan struct{})
	go func() {
		defer close(watched)
		timer := time.NewTimer(c.Limits.Wall)
		defer timer.Stop()
		select {
		case <-done:
			return
		case <-ctx.Done():
		case <-timer.C:
			result.Exceeded = WallTime
		case result.Exceeded = <-ended:
		}
		cmd.Process.Kill() // fails only for a process that has ended
	}()
	waited := cmd.Wait()
	close(done)
	<-watched
	copies.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, nil, fmt.Errorf("sandbox: %w", err)
	}
	var exit *exec.ExitError
	if waited != nil && !errors.As(waited, &exit) {
		return nil, nil, fmt.Errorf("sandbox: %w", waited)
	}
	if result.Exceeded == "" && (stdout.over || stderr.over || dataText.over) {
		result.Exceeded = Output // the program exited before it was killed
	}
	result.Wall = time.Since(begin)
	result.Stdout, result.Stderr, result.Data = stdout.text, stderr.text, dataText.text
	return result, reportText.text, nil
}

// capped keeps the first bytes written to it and discards the rest.
type capped struct {
	text  []byte
	limit int64
	over  bool
	full  func()
}

func (c *capped) Write(p []byte) (int, error) {
	room := min(int64(len(p)), c.limit-int64(len(c.text)))
	c.text = append(c.text, p[:room]...)
	if room < int64(len(p)) && !c.over {
		c.over = true
		c.full()
	}
	return len(p), nil
}

// readOutputs reads regular files in a folder that an untrusted program has written to.
func readOutputs(dir string, names []string, limit int64) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range names {
		p := filepath.Join(dir, name)
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		f := os.NewFile(uintptr(fd), p)
		data, err := readRegular(f, limit)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		files[name] = data
	}
	return files, nil
}

func readRegular(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("mode %v, %d bytes, want a regular file of at most %d", info.Mode(), info.Size(), limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
