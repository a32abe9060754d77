// Package sandbox runs one untrusted program in a process that can only compute: it has
// limits, an empty working folder, no network and no environment.
//
// On Linux [Run] starts its own binary twice. This package's init function turns these
// processes into the two helpers below before main is called:
//
//	caller ─ Run            pipes, wall time, output
//	  init                  process 1 of new user, pid, mount, network, IPC and UTS namespaces:
//	                        builds the file system, watches memory and CPU time, reaps
//	    exec → program      rlimits, no capabilities, no_new_privs, seccomp, then execve
//
// When init exits, the kernel kills every process of its pid namespace. Init exits when the
// caller does, by PR_SET_PDEATHSIG and because its pipe to the caller closes. The file system
// consists of tmpfs and read-only bind mounts in a mount namespace, so nothing is left on
// disk.
//
// If the kernel does not permit the namespaces, Run returns an [UnavailableError], unless
// Command.AcceptLess permits a single process under Landlock, seccomp and rlimits.
package sandbox

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	// ProgramDir is the read-only folder with Command.Files.
	ProgramDir = "/sandbox/program"
	// WorkDir is the working folder, which is empty at the start.
	WorkDir = "/sandbox/work"
)

// Limits are the limits of one run. Zero values mean the defaults.
type Limits struct {
	Wall      time.Duration // wall time; 0 means 10 s
	CPU       time.Duration // user and system time of all processes together; 0 means 5 s
	Memory    int64         // bytes of all processes together; 0 means 512 MiB
	Output    int64         // bytes of standard output, standard error and Data, each; 0 means 1 MiB
	Disk      int64         // bytes of the working folder; 0 means 16 MiB
	Processes int           // number of processes and threads; 0 means 32
}

// WithDefaults returns l with the defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set((*int64)(&l.Wall), int64(10*time.Second))
	set((*int64)(&l.CPU), int64(5*time.Second))
	set(&l.Memory, 512<<20)
	set(&l.Output, 1<<20)
	set(&l.Disk, 16<<20)
	if l.Processes == 0 {
		l.Processes = 32
	}
	return l
}

// Validate reports a negative limit.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Wall", int64(l.Wall)}, {"CPU", int64(l.CPU)}, {"Memory", l.Memory},
		{"Output", l.Output}, {"Disk", l.Disk}, {"Processes", int64(l.Processes)},
	} {
		if f.value < 0 {
			return fmt.Errorf("Limits.%s is %d, want 0 or more", f.name, f.value)
		}
	}
	return nil
}

// Command is a program to run.
type Command struct {
	// Argv begins with the path of the executable in the sandbox. Paths in Expose are the
	// same as on the host. Under AcceptLess, ProgramDir and WorkDir have other paths, and
	// these are replaced at the beginning of arguments.
	Argv    []string
	Env     []string          // the whole environment
	Stdin   []byte            //
	Files   map[string][]byte // executable files in ProgramDir, by name
	Expose  []string          // absolute host paths that are read-only in the sandbox at the same path
	Outputs []string          // names of files in WorkDir to return after exit status 0
	Limits  Limits
	// AcceptLess runs the program with less isolation if the kernel does not permit
	// namespaces.
	AcceptLess bool
}

// Limit is the name of a limit that ends a program.
type Limit string

// The limits at which a program is killed. At other limits its system calls fail.
const (
	WallTime Limit = "wall time"
	CPUTime  Limit = "CPU time"
	Memory   Limit = "memory"
	Output   Limit = "output"
)

// Result is the result of a program.
type Result struct {
	Stdout, Stderr []byte // cut off at Limits.Output
	Data           []byte // output to file descriptor 3, cut off at Limits.Output
	Outputs        map[string][]byte
	ExitCode       int           // -1 if a signal or a limit ended the program
	Signal         string        // the signal that ended it, or ""
	Exceeded       Limit         // the limit that ended it, or ""
	CPU            time.Duration // 0 if Exceeded is WallTime or Output
	Wall           time.Duration
	Missing        []string // what the isolation lacked; empty without AcceptLess
}

// UnavailableError is the reason why the kernel does not permit a sandbox.
type UnavailableError struct{ Reason error }

func (e *UnavailableError) Error() string { return "sandbox: not available: " + e.Reason.Error() }

func (e *UnavailableError) Unwrap() error { return e.Reason }

// Run runs a program until it exits or exceeds a limit. It returns an error if ctx ends, if c
// is invalid, if the sandbox is not available (an UnavailableError), or if it cannot be set
// up. If the program fails, there is no error, and the Result says how. When Run returns, no
// process of the sandbox is left.
func Run(ctx context.Context, c Command) (*Result, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	c.Limits = c.Limits.WithDefaults()
	return run(ctx, c)
}

func (c Command) validate() error {
	if len(c.Argv) == 0 || !path.IsAbs(c.Argv[0]) {
		return fmt.Errorf("Command.Argv is %q, want an absolute path first", c.Argv)
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(c.Files)), c.Outputs) {
		if name == "" || name != path.Base(name) || strings.HasPrefix(name, ".") {
			return fmt.Errorf("file name %q, want one without a folder or a leading dot", name)
		}
	}
	for _, p := range c.Expose {
		if p != path.Clean(p) || !path.IsAbs(p) || p == "/" {
			return fmt.Errorf("Command.Expose has %q, want clean absolute paths below /", p)
		}
		for _, taken := range []string{"/sandbox", "/dev", "/proc", "/sys"} {
			if p == taken || strings.HasPrefix(p, taken+"/") {
				return fmt.Errorf("Command.Expose has %q, which would hide the sandbox's %s", p, taken)
			}
		}
	}
	return c.Limits.Validate()
}
