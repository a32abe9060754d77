// Package sandbox runs one untrusted program in a process that can do nothing but
// compute: it has limits, an empty working folder, and neither network nor environment.
//
// On Linux [Run] starts the own binary twice more, which this package's init function
// turns into the two helpers below before main is reached:
//
//	caller ─ Run            pipes, wall time, output
//	  init                  process 1 of new user, pid, mount, network, IPC and UTS namespaces:
//	                        builds the file system, watches memory and CPU time, reaps
//	    exec → program      rlimits, no capabilities, no_new_privs, seccomp, then execve
//
// When init ends, the kernel kills every process of its pid namespace; init ends when the
// caller does, by PR_SET_PDEATHSIG and because its pipe to the caller closes. The file
// system is made of tmpfs and read-only bind mounts in a mount namespace, so nothing is
// left on disk.
//
// Where the kernel refuses the namespaces, Run fails with an [UnavailableError], unless
// Command.AcceptLess allows a single process under Landlock, seccomp and rlimits.
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
	// ProgramDir holds Command.Files, read-only.
	ProgramDir = "/sandbox/program"
	// WorkDir is the working folder, empty at the start.
	WorkDir = "/sandbox/work"
)

// Limits bound one run. Zero values mean the defaults.
type Limits struct {
	Wall      time.Duration // 0 means 10 s
	CPU       time.Duration // user and system time of all processes together; 0 means 5 s
	Memory    int64         // bytes of all processes together; 0 means 512 MiB
	Output    int64         // bytes, of standard output, error and Data each; 0 means 1 MiB
	Disk      int64         // bytes of the working folder; 0 means 16 MiB
	Processes int           // processes and threads; 0 means 32
}

// WithDefaults replaces zeros.
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

// Validate names a negative limit.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Wall", int64(l.Wall)}, {"CPU", int64(l.CPU)}, {"Memory", l.Memory},
		{"Output", l.Output}, {"Disk", l.Disk}, {"Processes", int64(l.Processes)},
	} {
		if f.value < 0 {
			return fmt.Errorf("Limits.%s is %d, want 0 for the default or more", f.name, f.value)
		}
	}
	return nil
}

// Command is a program to run.
type Command struct {
	// Argv begins with the path of the executable in the sandbox, which is that of the host
	// for a path of Expose. Arguments that begin with ProgramDir or WorkDir lead there under
	// AcceptLess too, where the folders are others.
	Argv    []string
	Env     []string          // the whole environment
	Stdin   []byte            //
	Files   map[string][]byte // by name in ProgramDir, executable
	Expose  []string          // absolute host paths to show, read-only, at the same place
	Outputs []string          // names in WorkDir to return after exit status 0
	Limits  Limits
	// AcceptLess runs the program with less isolation where namespaces are refused.
	AcceptLess bool
}

// Limit names the bound that ended a program.
type Limit string

// The limits that end a program. Where it meets the others, its calls fail.
const (
	WallTime Limit = "wall time"
	CPUTime  Limit = "CPU time"
	Memory   Limit = "memory"
	Output   Limit = "output"
)

// Result tells how a program ended.
type Result struct {
	Stdout, Stderr []byte // cut off at Limits.Output
	Data           []byte // what it wrote to file descriptor 3, cut off likewise
	Outputs        map[string][]byte
	ExitCode       int           // -1 if a signal or a limit ended it
	Signal         string        // the signal that ended it, or ""
	Exceeded       Limit         // the limit that ended it, or ""
	CPU            time.Duration // 0 where Exceeded is WallTime or Output
	Wall           time.Duration
	Missing        []string // what the isolation lacked; empty without AcceptLess
}

// UnavailableError says why the kernel grants no sandbox.
type UnavailableError struct{ Reason error }

func (e *UnavailableError) Error() string { return "sandbox: not available: " + e.Reason.Error() }

func (e *UnavailableError) Unwrap() error { return e.Reason }

// Run runs a program to its end, or to a limit's. It fails if ctx ends, if c is ill-formed,
// with an UnavailableError, or if the sandbox could not be set up; how the program fares is
// in the result. When Run returns, no process of the sandbox is left.
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
			return fmt.Errorf("file name %q, want one without folders and a leading dot", name)
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
