package cpu

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// limits returns what bounds the memory of a CPU backend that is opened now:
// the machine, its cgroups, the environment variable AHA_MEMORY and the option
// (0 means none). Limits that are unknown are left out.
func limits(option int) ([]limit, error) {
	if option < 0 {
		return nil, fmt.Errorf("cpu: Options.MemoryLimit is %d, want 0 or more", option)
	}
	var all []limit
	if total, available := machineMemory(); total > 0 {
		all = append(all, limit{bytes: usable(total), source: "memory of the machine"})
		if available > 0 {
			free := usable(available) + int(processUsed.Load())
			all = append(all, limit{bytes: free, source: "memory of the machine that was available at Open"})
		}
	}
	if group, bytes := cgroupLimit(os.DirFS("/")); bytes > 0 {
		all = append(all, limit{bytes: usable(bytes), source: "cgroup " + group})
	}
	if env := os.Getenv("AHA_MEMORY"); env != "" {
		bytes, err := parseSize(env)
		if err != nil {
			return nil, fmt.Errorf("cpu: AHA_MEMORY: %w", err)
		}
		all = append(all, limit{bytes: bytes, source: "AHA_MEMORY"})
	}
	if option > 0 {
		all = append(all, limit{bytes: option, source: "Options.MemoryLimit", own: true})
	}
	return all, nil
}

// usable returns how much of the given number of bytes buffers may use. The
// rest, an eighth but at most 2 GiB, is left for the Go runtime, the kernels'
// scratch memory and the program.
func usable(bytes int) int { return bytes - min(bytes/8, 2<<30) }

// cgroupLimit returns the lowest memory limit among the process's control
// groups and their ancestors, and the group that sets it; bytes is 0 if there
// is none. Version 2 names one group for all controllers ("0::/a/b"), version 1
// one for memory ("4:memory:/a/b"). In a container, the group may be mounted as
// the root although its name is the host's, so groups that do not exist are
// skipped.
func cgroupLimit(root fs.FS) (group string, bytes int) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return "", 0
	}
	for line := range strings.Lines(string(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, name, _ := strings.Cut(rest, ":")
		for _, file := range limitFiles(id, controllers) {
			mount, base := path.Split(file)
			for at := path.Clean("/" + name); ; at = path.Dir(at) {
				n := readLimit(root, path.Join(mount, at, base))
				if n > 0 && (bytes == 0 || n < bytes) {
					group, bytes = at, n
				}
				if at == "/" {
					break
				}
			}
		}
	}
	return group, bytes
}

// limitFiles returns the files, in the root of a mounted hierarchy, that may
// hold its memory limit.
func limitFiles(id, controllers string) []string {
	switch {
	case id == "0" && controllers == "":
		return []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/unified/memory.max"}
	case slices.Contains(strings.Split(controllers, ","), "memory"):
		return []string{"sys/fs/cgroup/memory/memory.limit_in_bytes"}
	}
	return nil
}

// readLimit reads a limit in bytes. It returns 0 if the file is missing or sets
// no limit ("max" or, in version 1, the largest multiple of the page size).
func readLimit(root fs.FS, name string) int {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 || n >= math.MaxInt64>>20<<20 || n > math.MaxInt {
		return 0
	}
	return int(n)
}
