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

// execSpec is the message to the exec helper.
type execSpec struct {
	Argv, Env []string
	Dir       string
	User      int // user and group to switch to; 0 means none
	Limits    Limits
	Alone     bool     // run a single process under Landlock, without namespaces
	Readable  []string // paths that may be read, with Alone
}

// runExec replaces the process by the program. It does not return.
func runExec() {
	runtime.LockOSThread() // capabilities, seccomp and Landlock apply to the thread
	debug.SetGCPercent(-1)
	// The caller may have open files that it has inherited, for example from a shell.
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

// exec restricts the process and executes the program. It returns only if it fails.
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

// dropPrivileges drops all capabilities if the process is root in its user namespace, and
// switches to User.
func (s *execSpec) dropPrivileges() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if err == unix.EINVAL && capability > 0 {
			break // there are no more capabilities
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
			return fmt.Errorf("switching to user %d: %w", s.User, errno)
		}
	}
	return nil
}

const (
	// reserved is the address space that Go's runtime and shared libraries reserve but do not
	// use.
	reserved = 2 << 30
	// mapped is the writable memory that Go's runtime maps but does not use.
	mapped = 64 << 20
)

func (s *execSpec) setLimits() error {
	l := s.Limits
	// The kernel limits the whole seconds of each process; init limits the sum of all
	// processes, with a finer resolution.
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
			continue // it counts all processes of the user, and the program cannot start more
		}
		// The caller itself may have a lower limit, which cannot be raised.
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
