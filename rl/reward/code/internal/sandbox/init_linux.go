//go:build amd64 || arm64

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// File descriptors of the helpers. dataFD stays open in the program.
const (
	dataFD = 3 + iota
	specFD
	reportFD
)

// runInit is process 1 of the sandbox. It does not return.
func runInit() {
	// The kernel has no default signal actions for process 1, but Go's runtime installs
	// handlers. With this call, signals from the program to init have no effect.
	signal.Notify(make(chan os.Signal, 1))
	unix.CloseOnExec(specFD)
	unix.CloseOnExec(reportFD)
	i := &initProcess{}
	orders := os.NewFile(specFD, "spec")
	if err := json.NewDecoder(orders).Decode(&i.spec); err != nil {
		i.end(report{Error: fmt.Sprintf("reading the spec: %v", err)})
	}
	go func() { // the pipe closes when the caller exits
		io.Copy(io.Discard, orders)
		syscall.Exit(1)
	}()
	if err := i.run(); err != nil {
		i.end(report{Error: err.Error()})
	}
}

type initProcess struct {
	spec initSpec
	proc *os.File // procfs of the pid namespace, which is hidden from the program
	once sync.Once
}

// end writes the report and exits. The kernel then kills all processes of the sandbox.
func (i *initProcess) end(r report) {
	i.once.Do(func() {
		text, err := json.Marshal(r)
		if err == nil {
			os.NewFile(reportFD, "report").Write(text)
		}
		syscall.Exit(0)
	})
	select {} // another goroutine ends the process
}

func (i *initProcess) run() error {
	runtime.LockOSThread() // PR_SET_PDEATHSIG of the exec helper refers to this thread
	// The exec helper starts in the old root, which has the libraries of the binary, and moves
	// to the new root together with init.
	specR, specW, err := os.Pipe()
	if err != nil {
		return err
	}
	failR, failW, err := os.Pipe()
	if err != nil {
		return err
	}
	child := 0
	if !i.spec.Probe {
		child, err = syscall.ForkExec("/proc/self/exe", []string{execName}, &syscall.ProcAttr{
			Env:   helperEnv,
			Files: []uintptr{0, 1, 2, dataFD, specR.Fd(), failW.Fd()},
			Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
		})
		if err != nil {
			return fmt.Errorf("starting the exec helper: %w", err)
		}
	}
	failW.Close()
	if i.proc, err = newRoot(&i.spec); err != nil {
		return err
	}
	if i.spec.Probe {
		i.end(report{})
	}
	// Close init's copies, so that the program's input and output close when it closes them.
	for fd := range dataFD + 1 {
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("closing the program's file descriptor %d: %w", fd, err)
		}
	}
	order, err := json.Marshal(i.spec.Exec)
	if err != nil {
		return err
	}
	if _, err := specW.Write(order); err != nil {
		return fmt.Errorf("writing to the exec helper: %w", err)
	}
	specW.Close()
	failure, err := io.ReadAll(failR)
	if err != nil || len(failure) > 0 {
		return errors.Join(err, errors.New(string(failure)))
	}
	go i.watch()
	i.reap(child)
	return nil
}

// reap waits until the program exits, and reaps orphans until then.
func (i *initProcess) reap(program int) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			i.end(report{Error: fmt.Sprintf("waiting for the program: %v", err)})
		case pid != program || status.Stopped() || status.Continued():
			continue
		}
		r := report{ExitCode: status.ExitStatus(), CPU: childrenCPU()}
		if status.Signaled() {
			r.Signal, r.Exceeded = endedBy(status.Signal(), r.CPU, i.spec.Limits)
		}
		if r.ExitCode == 0 {
			if r.Outputs, err = readOutputs(WorkDir, i.spec.Outputs, i.spec.Limits.Disk); err != nil {
				r.Error = err.Error()
			}
		}
		i.end(r)
	}
}

func childrenCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &u) != nil {
		return 0 // does not happen: the arguments are valid
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// endedBy returns the signal that ended a program or, if the kernel sent it because of a limit,
// the limit.
func endedBy(s syscall.Signal, cpu time.Duration, l Limits) (string, Limit) {
	if s == syscall.SIGXCPU || s == syscall.SIGKILL && cpu >= l.CPU {
		return "", CPUTime
	}
	return s.String(), ""
}
