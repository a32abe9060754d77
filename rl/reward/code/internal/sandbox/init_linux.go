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

// File descriptors of the helpers. Data stays open in the program.
const (
	dataFD = 3 + iota
	specFD
	reportFD
)

// runInit is process 1 of the sandbox. It does not return.
func runInit() {
	// Process 1 has no default actions, but Go's runtime has handlers of its own; with these
	// a program's signals to init are of no effect.
	signal.Notify(make(chan os.Signal, 1))
	unix.CloseOnExec(specFD)
	unix.CloseOnExec(reportFD)
	i := &initProcess{}
	orders := os.NewFile(specFD, "spec")
	if err := json.NewDecoder(orders).Decode(&i.spec); err != nil {
		i.end(report{Error: fmt.Sprintf("reading init's orders: %v", err)})
	}
	go func() { // the caller holds the other end as long as it lives
		io.Copy(io.Discard, orders)
		syscall.Exit(1)
	}()
	if err := i.run(); err != nil {
		i.end(report{Error: err.Error()})
	}
}

type initProcess struct {
	spec initSpec
	proc *os.File // procfs of the pid namespace, which the program does not see
	once sync.Once
}

// end reports and exits, whereupon the kernel kills what is left of the sandbox.
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
	runtime.LockOSThread() // for the exec helper's PR_SET_PDEATHSIG
	// The exec helper starts in the old root, where the libraries of the binary are, and is
	// moved to the new one with init.
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
	// The program's input and output close when it closes them, not when init ends.
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
		return fmt.Errorf("ordering the exec helper: %w", err)
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

// reap waits for the program, and for orphans until then.
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
		return 0 // cannot fail with valid arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// endedBy names the signal that ended a program, and the limit if the kernel sent it for one.
func endedBy(s syscall.Signal, cpu time.Duration, l Limits) (string, Limit) {
	if s == syscall.SIGXCPU || s == syscall.SIGKILL && cpu >= l.CPU {
		return "", CPUTime
	}
	return s.String(), ""
}
