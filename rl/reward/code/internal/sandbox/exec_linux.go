//go:build amd64 || arm64

package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// execSpec is what the exec helper is told.
type execSpec struct {
	Argv, Env []string
	Dir       string
	User      int // user and group to become, unless 0
	Limits    Limits
	Alone     bool     // without namespaces: one process, under Landlock
	Readable  []string // with Alone, what may be read
}

// runExec turns the process into the program. It does not return.
func runExec() {
	runtime.LockOSThread() // capabilities, seccomp and Landlock go by the thread
	debug.SetGCPercent(-1)
	// The caller may have inherited files, from a shell for instance, that it does not close.
	err := unix.CloseRange(specFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err != nil {
		err = fmt.Errorf("closing inherited files: %w", err)
	}
	var spec execSpec
	if err == nil {
		err = json.NewDecoder(os.NewFile(specFD, "spec")).Decode(&spec)
	}
	if err == nil {
		err = spec.exec()
	}
	os.NewFile(reportFD, "report").WriteString(err.Error())
	syscall.Exit(1)
}

// exec returns only if it fails.
func (s *execSpec) exec() error {
	if err := os.Chdir(s.Dir); err != nil {
		return err
	}
	if err := s.dropPrivileges(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if s.Alone {
		if err := landlock(s.Dir, s.Readable); err != nil {
			return fmt.Errorf("Landlock: %w", err)
		}
	}
	filter := filterFor(s.Alone)
	if err := s.setLimits(); err != nil {
		return err
	}
	if err := install(filter); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return fmt.Errorf("exec %s: %w", s.Argv[0], syscall.Exec(s.Argv[0], s.Argv, s.Env))
}

// dropPrivileges leaves a root of any user namespace without capabilities after exec, and
// becomes the user of programs.
func (s *execSpec) dropPrivileges() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if err == unix.EINVAL && capability > 0 {
			break // past the last one
		} else if err != nil {
			return fmt.Errorf("dropping capability %d: %w", capability, err)
		}
	}
	if s.User == 0 {
		return nil
	}
	user := uintptr(s.User)
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, 0, 0, 0},
		{unix.SYS_SETRESGID, user, user, user},
		{unix.SYS_SETRESUID, user, user, user},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			return fmt.Errorf("becoming user %d: %w", s.User, errno)
		}
	}
	return nil
}

const (
	// reserved is address space that Go's runtime and shared libraries take without using it.
	reserved = 2 << 30
	// mapped is writable memory that Go's runtime maps and does not touch.
	mapped = 64 << 20
)

func (s *execSpec) setLimits() error {
	l := s.Limits
	// Of one process the kernel counts seconds; init counts those of all, and more finely.
	seconds := uint64((l.CPU + time.Second - 1) / time.Second)
	for _, r := range []struct {
		name       string
		resource   int
		soft, hard uint64
	}{
		{"core", unix.RLIMIT_CORE, 0, 0},
		{"cpu", unix.RLIMIT_CPU, seconds, seconds + 1},
		{"fsize", unix.RLIMIT_FSIZE, uint64(l.Disk), uint64(l.Disk)},
		{"memlock", unix.RLIMIT_MEMLOCK, 0, 0},
		{"msgqueue", unix.RLIMIT_MSGQUEUE, 0, 0},
		{"nofile", unix.RLIMIT_NOFILE, 256, 256},
		{"sigpending", unix.RLIMIT_SIGPENDING, 256, 256},
		{"stack", unix.RLIMIT_STACK, 8 << 20, 8 << 20},
		{"data", unix.RLIMIT_DATA, uint64(l.Memory + mapped), uint64(l.Memory + mapped)},
		{"as", unix.RLIMIT_AS, uint64(l.Memory + reserved), uint64(l.Memory + reserved)},
		{"nproc", unix.RLIMIT_NPROC, uint64(l.Processes), uint64(l.Processes)},
	} {
		if s.Alone && r.resource == unix.RLIMIT_NPROC {
			continue // it would count all processes of the user; of the program there is one
		}
		// A limit of the caller's own may be lower and cannot be raised.
		var own unix.Rlimit
		if err := unix.Getrlimit(r.resource, &own); err != nil {
			return fmt.Errorf("rlimit %s: %w", r.name, err)
		}
		lower := unix.Rlimit{Cur: min(r.soft, own.Max), Max: min(r.hard, own.Max)}
		if err := unix.Prlimit(0, r.resource, &lower, nil); err != nil {
			return fmt.Errorf("rlimit %s: %w", r.name, err)
		}
	}
	return nil
}
