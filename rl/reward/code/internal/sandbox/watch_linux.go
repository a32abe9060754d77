//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	watchInterval = 10 * time.Millisecond
	clockTick     = 10 * time.Millisecond // USER_HZ is 100 on all architectures of Linux
)

// watch ends the sandbox when all of its processes together exceed the limit on memory or CPU
// time. In between, rlimits limit each process.
func (i *initProcess) watch() {
	for range time.Tick(watchInterval) {
		memory, cpu, err := i.usage()
		switch {
		case err != nil:
			i.end(report{Error: fmt.Sprintf("watching the program: %v", err)})
		case memory > i.spec.Limits.Memory:
			i.end(report{ExitCode: -1, Exceeded: Memory, CPU: cpu})
		case cpu > i.spec.Limits.CPU:
			i.end(report{ExitCode: -1, Exceeded: CPUTime, CPU: cpu})
		}
	}
}

// usage returns the sum of anonymous and shared resident memory, and of CPU time, of all
// processes.
func (i *initProcess) usage() (memory int64, cpu time.Duration, err error) {
	// Count exited children first: a process that exits meanwhile is then missed once rather
	// than counted twice.
	cpu = childrenCPU()
	if _, err := i.proc.Seek(0, io.SeekStart); err != nil {
		return 0, 0, err
	}
	names, err := i.proc.Readdirnames(-1)
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err != nil || pid == 1 {
			continue
		}
		// A process that has exited meanwhile uses nothing.
		if status, err := i.read(name + "/status"); err == nil {
			memory += field(status, "RssAnon:") + field(status, "RssShmem:")
		}
		if stat, err := i.read(name + "/stat"); err == nil {
			cpu += statCPU(stat)
		}
	}
	return memory, cpu, nil
}

func (i *initProcess) read(name string) ([]byte, error) {
	fd, err := unix.Openat(int(i.proc.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(f)
}

// field returns the bytes of a line "NAME: n kB" of /proc/PID/status.
func field(status []byte, name string) int64 {
	_, rest, ok := bytes.Cut(status, []byte("\n"+name))
	if !ok {
		return 0 // a zombie has no such line
	}
	value, _, _ := bytes.Cut(rest, []byte("kB"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// statCPU returns the sum of utime, stime, cutime and cstime, the fields 14 to 17 of
// /proc/PID/stat. The second field, in parentheses, may contain any characters.
func statCPU(stat []byte) (sum time.Duration) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0
	}
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * clockTick
	}
	return sum
}
